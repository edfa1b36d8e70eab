//! Whether a value is as a JSON Schema says: the words of draft 2020-12 that ours use, and no other.

use serde_json::Value as Json;

/// What is wrong with a value, with the place in it. Keys that the schema does not name are wrong, too: it allows
/// them for the sake of later versions, but what there is today is to be told.
pub fn problems(schema: &Json, value: &Json) -> Vec<String> {
    let mut problems = Vec::new();
    look(schema, schema, value, "", &mut problems);
    problems
}

fn look(root: &Json, schema: &Json, value: &Json, at: &str, problems: &mut Vec<String>) {
    for (word, says) in schema.as_object().unwrap() {
        let wrong = match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "format" => false,
            "$ref" => {
                let there = root.pointer(&says.as_str().unwrap()[1..]);
                look(root, there.unwrap_or_else(|| panic!("{says} is not defined")), value, at, problems);
                false
            }
            "type" => match says {
                Json::Array(types) => !types.iter().any(|name| is_a(name, value)),
                name => !is_a(name, value),
            },
            "const" => says != value,
            "enum" => !says.as_array().unwrap().contains(value),
            "anyOf" => says.as_array().unwrap().iter().all(|one| !allows(root, one, value)),
            "oneOf" => {
                let fit = says.as_array().unwrap().iter().filter(|one| allows(root, one, value)).count();
                fit != 1
            }
            "required" => {
                let missing = |key: &&Json| value.get(key.as_str().unwrap()).is_none();
                value.is_object() && says.as_array().unwrap().iter().any(|key| missing(&key))
            }
            "minimum" => value.as_f64().is_some_and(|n| n < says.as_f64().unwrap()),
            "maximum" => value.as_f64().is_some_and(|n| n > says.as_f64().unwrap()),
            "minItems" => value.as_array().is_some_and(|list| (list.len() as u64) < says.as_u64().unwrap()),
            "maxItems" => value.as_array().is_some_and(|list| list.len() as u64 > says.as_u64().unwrap()),
            "pattern" => {
                let pattern = regex::Regex::new(says.as_str().unwrap()).unwrap();
                value.as_str().is_some_and(|text| !pattern.is_match(text))
            }
            "items" => {
                for (number, item) in value.as_array().into_iter().flatten().enumerate() {
                    look(root, says, item, &format!("{at}/{number}"), problems);
                }
                false
            }
            "properties" => {
                for (key, item) in value.as_object().into_iter().flatten() {
                    match says.get(key) {
                        Some(schema) => look(root, schema, item, &format!("{at}/{key}"), problems),
                        None => problems.push(format!("{at}/{key} is not in the schema")),
                    }
                }
                false
            }
            other => panic!("the word {other} is new"),
        };
        if wrong {
            problems.push(format!("{at}: {value} is not as {word} says: {says:.200}"));
        }
    }
}

fn allows(root: &Json, schema: &Json, value: &Json) -> bool {
    let mut problems = Vec::new();
    look(root, schema, value, "", &mut problems);
    problems.is_empty()
}

fn is_a(name: &Json, value: &Json) -> bool {
    match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("the type {other} is new"),
    }
}
