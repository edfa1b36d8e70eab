//! The JSON Schema of plans, made of the tables that the checks go by.

use serde_json::{Map, Value as Json, json};

use super::shape::{CONTRACT, DEFAULTS, HOOKS, Key, PLAN, Shape, TASK, Value, strategies};

/// The JSON Schema (draft 2020-12) of plans: for editors. What it can't say, such as that a dependency is
/// there, is checked when the plan is read.
pub fn schema() -> String {
    let mut root = Map::new();
    root.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
    root.insert("title".into(), "A plan of git parallel".into());
    root.insert("description".into(), "Tasks for 'git parallel run -f'; see git-parallel-plan(5).".into());
    root.extend(table(&PLAN));
    let item = json!({"anyOf": [{"$ref": "#/$defs/task"}, of(Value::Word)]});
    root.insert(
        "patternProperties".into(),
        json!({"^phase[_-]*[0-9]+$": {
            "description": "The tasks of one phase: tables, names, or prompts.",
            "anyOf": [of(Value::Word), {"type": "array", "minItems": 1, "items": item}],
        }}),
    );
    let shapes = [("task", &TASK), ("defaults", &DEFAULTS), ("contract", &CONTRACT), ("hooks", &HOOKS)];
    let defs: Map<String, Json> =
        shapes.into_iter().map(|(name, shape)| (name.to_owned(), Json::Object(table(shape)))).collect();
    root.insert("$defs".into(), Json::Object(defs));
    // Nothing in it fails to be written.
    serde_json::to_string_pretty(&Json::Object(root)).unwrap_or_default() + "\n"
}

fn table(shape: &Shape) -> Map<String, Json> {
    let mut table = Map::new();
    table.insert("type".into(), "object".into());
    let properties: Map<String, Json> =
        shape.keys().map(|key| (key.name.to_owned(), property(key))).collect();
    table.insert("properties".into(), Json::Object(properties));
    if !shape.required.is_empty() {
        table.insert("required".into(), json!(shape.required));
    }
    let both: Vec<Json> =
        shape.either.iter().map(|(one, other, _)| json!({"not": {"required": [one, other]}})).collect();
    if !both.is_empty() {
        table.insert("allOf".into(), Json::Array(both));
    }
    table.insert("additionalProperties".into(), false.into());
    table
}

fn property(key: &Key) -> Json {
    let mut property = Map::new();
    property.insert("description".into(), key.what.into());
    if let Json::Object(kind) = of(key.value) {
        property.extend(kind);
    }
    Json::Object(property)
}

fn of(value: Value) -> Json {
    let words = |unique: bool| {
        let mut words = json!({"type": "array", "items": of(Value::Word)});
        if unique {
            words["uniqueItems"] = true.into();
        }
        words
    };
    match value {
        Value::Text => json!({"type": "string"}),
        Value::Word => json!({"type": "string", "pattern": "\\S"}),
        Value::Name => json!({"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[A-Za-z0-9]"}),
        Value::Time => json!({"type": "string", "pattern": "[0-9]"}),
        Value::Flag => json!({"type": "boolean"}),
        Value::Whole(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Value::Phase => json!({"anyOf": [{"type": "integer"}, of(Value::Word)]}),
        Value::Strategy => json!({"enum": strategies()}),
        Value::Words => words(true),
        Value::WordOrWords => json!({"anyOf": [of(Value::Word), words(true)]}),
        Value::Command => json!({"anyOf": [
            of(Value::Word),
            {"type": "array", "minItems": 1, "prefixItems": [of(Value::Word)], "items": {"type": "string"}},
        ]}),
        Value::Variables => json!({
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "not": {"pattern": "^GIT_PARALLEL_"}},
            "additionalProperties": {"type": "string"},
        }),
        Value::Table(shape) => reference(shape),
        Value::Tables(shape) => json!({"type": "array", "minItems": 1, "items": reference(shape)}),
    }
}

fn reference(shape: &Shape) -> Json {
    let name = shape.name.trim_start_matches("a ").trim_matches('\'');
    json!({"$ref": format!("#/$defs/{name}")})
}

#[cfg(test)]
mod tests {
    use super::super::node::{Kind, Node};
    use super::super::{Format, parsed, read};
    use super::*;

    const COMMITTED: &str = include_str!("../../../examples/plan.schema.json");

    /// What TOML, YAML and JSON have in common.
    fn json_of(node: &Node) -> Json {
        match &node.kind {
            Kind::Text(text) | Kind::Date(text) => text.as_str().into(),
            Kind::Number(_, Some(number)) => (*number).into(),
            Kind::Number(number, None) => number.parse::<f64>().map_or(Json::Null, Json::from),
            Kind::Bool(value) => (*value).into(),
            Kind::Nothing => Json::Null,
            Kind::List(items) => items.iter().map(json_of).collect(),
            Kind::Table(entries) => {
                Json::Object(entries.iter().map(|e| (e.key.clone(), json_of(&e.value))).collect())
            }
        }
    }

    /// A pattern of the schema, of which there are few.
    fn matches(pattern: &str, text: &str) -> bool {
        let name = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match pattern {
            "\\S" => !text.trim().is_empty(),
            "[0-9]" => text.contains(|c: char| c.is_ascii_digit()),
            "^[A-Za-z0-9]" => text.starts_with(|c: char| c.is_ascii_alphanumeric()),
            "^GIT_PARALLEL_" => text.starts_with("GIT_PARALLEL_"),
            "^[A-Za-z_][A-Za-z0-9_]*$" => name(text) && !text.starts_with(|c: char| c.is_ascii_digit()),
            "^phase[_-]*[0-9]+$" => text.strip_prefix("phase").is_some_and(|rest| {
                let digits = rest.trim_start_matches(['_', '-']);
                !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
            }),
            other => panic!("the pattern {other} is new"),
        }
    }

    /// Whether a value is as the schema says, by the words of draft 2020-12 that ours uses and no other.
    fn allows(root: &Json, schema: &Json, value: &Json) -> bool {
        let again = |schema: &Json, value: &Json| allows(root, schema, value);
        let number = |limit: &Json| limit.as_f64().unwrap();
        let length = || value.as_str().map(|text| text.chars().count() as f64);
        let list = || value.as_array().map(Vec::as_slice).unwrap_or_default();
        let each =
            |schemas: &Json| schemas.as_array().unwrap().iter().map(|s| again(s, value)).collect::<Vec<_>>();
        schema.as_object().unwrap().iter().all(|(word, says)| match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "patternProperties" => true,
            "$ref" => again(root.pointer(&says.as_str().unwrap()[1..]).expect("it is defined"), value),
            "type" => match says.as_str().unwrap() {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                other => panic!("the type {other} is new"),
            },
            "enum" => says.as_array().unwrap().contains(value),
            "anyOf" => each(says).contains(&true),
            "allOf" => !each(says).contains(&false),
            "not" => !again(says, value),
            "required" => {
                says.as_array().unwrap().iter().all(|key| value.get(key.as_str().unwrap()).is_some())
            }
            "minimum" => value.as_f64().is_none_or(|n| n >= number(says)),
            "maximum" => value.as_f64().is_none_or(|n| n <= number(says)),
            "minLength" => length().is_none_or(|n| n >= number(says)),
            "maxLength" => length().is_none_or(|n| n <= number(says)),
            "minItems" => value.as_array().is_none_or(|items| items.len() as f64 >= number(says)),
            "pattern" => value.as_str().is_none_or(|text| matches(says.as_str().unwrap(), text)),
            "uniqueItems" => (1..list().len()).all(|at| !list()[..at].contains(&list()[at])),
            "prefixItems" => list().iter().zip(says.as_array().unwrap()).all(|(item, s)| again(s, item)),
            "items" => {
                let before = schema.get("prefixItems").map_or(0, |first| first.as_array().unwrap().len());
                list().iter().skip(before).all(|item| again(says, item))
            }
            "propertyNames" => {
                value.as_object().is_none_or(|t| t.keys().all(|key| again(says, &key.as_str().into())))
            }
            "properties" => value.as_object().is_none_or(|table| {
                table.iter().all(|(key, value)| says.get(key).is_none_or(|schema| again(schema, value)))
            }),
            "additionalProperties" => value.as_object().is_none_or(|table| {
                let known =
                    |key: &str| schema.get("properties").is_some_and(|known| known.get(key).is_some());
                table.iter().filter(|(key, _)| !known(key)).all(|(key, value)| {
                    let mut patterns =
                        schema.get("patternProperties").and_then(Json::as_object).into_iter().flatten();
                    match patterns.find(|(pattern, _)| matches(pattern, key)) {
                        Some((_, schema)) => again(schema, value),
                        None => says.as_bool().unwrap_or_else(|| again(says, value)),
                    }
                })
            }),
            other => panic!("the word {other} is new"),
        })
    }

    fn is_allowed(text: &str, format: Format) -> bool {
        let schema: Json = serde_json::from_str(&schema()).unwrap();
        let root = parsed(text, format).and_then(|parsed| parsed.root).expect("it can be parsed");
        allows(&schema, &schema, &json_of(&root))
    }

    #[test]
    fn the_committed_schema_is_the_one_of_the_program() {
        assert!(COMMITTED == schema(), "make it anew: cargo run -- schema >examples/plan.schema.json");
    }

    #[test]
    fn good_plans_are_allowed() {
        for (format, text) in [
            (Format::Toml, include_str!("../../../examples/full-stack.toml")),
            (Format::Yaml, include_str!("../../../examples/phases.yaml")),
            (Format::Toml, include_str!("../../../tests/plans/good.toml")),
            (Format::Yaml, include_str!("../../../tests/plans/good.yaml")),
            (Format::Json, include_str!("../../../tests/plans/good.json")),
            (Format::Yaml, "phase_1: [a, Write the guide]\nphase2: b\n"),
            (Format::Json, r#"{"$schema": "plan.schema.json", "tasks": [{"name": "a"}]}"#),
        ] {
            assert!(read(text, format, |_| Vec::new()).is_ok());
            assert!(is_allowed(text, format), "{text}");
        }
    }

    /// Whatever the schema can tell is refused by it as well.
    #[test]
    fn bad_plans_are_refused() {
        for line in [
            "jobs = 0",
            "jobs = 1001",
            "jobs = '3'",
            "strategy = 'sqash'",
            "atomic = 1",
            "colour = 1",
            "target = ' '",
            "phase_x = ['a']",
            "phase_1 = []",
            "phase_1 = [5]",
            "contracts = [{name = 'a'}]",
            "hooks = {on_end = 'x'}",
            "defaults = {name = 'x'}",
            "defaults = {prompt = 'x', prompt_file = 'y'}",
            "tasks = []",
            "task = ['a']",
            "task = [{}]",
            "task = [{name = ''}]",
            "task = [{name = '-a'}]",
            "task = [{name = 'a', jobs = 3}]",
            "task = [{name = 'a', agent = 'x', command = 'y'}]",
            "task = [{name = 'a', command = []}]",
            "task = [{name = 'a', command = ['']}]",
            "task = [{name = 'a', retries = -1}]",
            "task = [{name = 'a', timeout = 'soon'}]",
            "task = [{name = 'a', phase = 1.5}]",
            "task = [{name = 'a', labels = 'x'}]",
            "task = [{name = 'a', labels = ['x', 'x']}]",
            "task = [{name = 'a', touches = ['']}]",
            "task = [{name = 'a', env = {GIT_PARALLEL_X = 'x'}}]",
            "task = [{name = 'a', env = {A = 5}}]",
            "task = [{name = 'a'}]\ntasks = [{name = 'b'}]",
        ] {
            let text = match line.starts_with("task") {
                true => line.to_owned(),
                false => format!("{line}\n[[task]]\nname = 'a'"),
            };
            assert!(read(&text, Format::Toml, |_| Vec::new()).is_err(), "{text}");
            assert!(!is_allowed(&text, Format::Toml), "{text}");
        }
        for (format, text) in [
            (Format::Toml, include_str!("../../../tests/plans/bad.toml")),
            (Format::Yaml, include_str!("../../../tests/plans/bad.yaml")),
        ] {
            assert!(!is_allowed(text, format));
        }
    }
}
