//! What a squashed branch is told by: the message that lists its commits, and who made them.

use anyhow::{Context, Result};

use super::Repository;
use super::candidate::{Wish, encoding_option};
use crate::run::{Oid, Text};

/// Message and author of the one commit.
pub(super) struct Squashed {
    /// The message, in the encoding of commits.
    pub(super) message: Vec<u8>,
    /// Environment that names the author, where that is not the user.
    pub(super) author: Vec<(&'static str, Text)>,
}

/// Somebody who made a commit, or had a part in it.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Person {
    name: Text,
    email: Text,
}

impl Person {
    /// Reads `Name <email>`, whatever stands behind it. Without an address it is a name.
    fn parse(text: &[u8]) -> Person {
        let open = text.iter().position(|&b| b == b'<').unwrap_or(text.len());
        let address = text.get(open + 1..).unwrap_or_default();
        let close = address.iter().position(|&b| b == b'>').unwrap_or(address.len());
        Person { name: text[..open].trim_ascii().into(), email: address[..close].trim_ascii().into() }
    }

    /// Whether both are one: an address has one owner, however the name is written.
    fn is(&self, other: &Person) -> bool {
        match self.email.as_bstr().is_empty() {
            true => self == other,
            false => self.email.as_bstr().eq_ignore_ascii_case(other.email.as_bstr()),
        }
    }

    /// Whether git takes the name for one: not if it is all spaces and punctuation (`ident.c`).
    fn has_name(&self) -> bool {
        self.name.as_bstr().iter().any(|b| b.is_ascii_alphanumeric() || !b.is_ascii())
    }
}

/// A commit of the branch.
struct Made {
    author: Person,
    co_authors: Vec<Person>,
    subject: Text,
}

/// Reads the commits that the branch has beyond `onto`.
///
/// # Errors
/// If git can't tell of them.
pub(super) fn read(repo: &Repository, onto: &Oid, wish: &Wish<'_>) -> Result<Squashed> {
    let range = format!("{onto}..{}", wish.tip);
    let made = commits(repo, &range)?;
    let first = made.first().context("there is nothing to squash")?;
    let same = made.iter().all(|commit| commit.author == first.author) && first.author.has_name();
    let author = if same { first.author.clone() } else { identity(repo, "GIT_AUTHOR_IDENT")? };
    let committer = identity(repo, "GIT_COMMITTER_IDENT")?;
    let mut co_authors: Vec<&Person> = Vec::new();
    let authors = made.iter().map(|commit| &commit.author).filter(|person| !person.is(&committer));
    for person in authors.chain(made.iter().flat_map(|commit| &commit.co_authors)) {
        if !person.is(&author) && !co_authors.iter().any(|other| other.is(person)) {
            co_authors.push(person);
        }
    }
    let mut message = match &made[..] {
        [only] if !only.subject.as_bstr().is_empty() => only.subject.as_bstr().to_vec(),
        _ => format!("Squash branch '{}' into {}", wish.branch, wish.target).into_bytes(),
    };
    message.extend_from_slice(b"\n\nSquashed commit of the following:\n\n");
    // What `git merge --squash` prepares, by the plumbing that no log.* setting changes.
    let list = repo.git().args(["rev-list", "--pretty=medium", "--date=default", &encoding_option(repo)]);
    let list = list.arg(&range).ok()?;
    message.extend_from_slice(list.trim_ascii_end());
    message.push(b'\n');
    if !co_authors.is_empty() {
        message.push(b'\n');
    }
    for person in co_authors {
        message.extend_from_slice(b"Co-authored-by: ");
        message.extend_from_slice(person.name.as_bstr());
        if !person.email.as_bstr().is_empty() {
            message.extend_from_slice(b" <");
            message.extend_from_slice(person.email.as_bstr());
            message.push(b'>');
        }
        message.push(b'\n');
    }
    let environment = [("GIT_AUTHOR_NAME", author.name), ("GIT_AUTHOR_EMAIL", author.email)];
    let author = if same { Vec::from(environment) } else { Vec::new() };
    Ok(Squashed { message, author })
}

/// The commits of a range, oldest first.
fn commits(repo: &Repository, range: &str) -> Result<Vec<Made>> {
    let format = "--format=%an%x00%ae%x00%(trailers:key=Co-authored-by,valueonly,unfold)%x00%s%x00";
    let git = repo.git().args([
        "rev-list",
        "--reverse",
        "--no-commit-header",
        &encoding_option(repo),
        format,
        range,
    ]);
    let output = git.ok()?;
    let fields: Vec<&[u8]> = output.split(|&byte| byte == 0).collect();
    // The last of the pieces is what stands behind the last commit.
    Ok(fields
        .chunks_exact(4)
        .map(|fields| Made {
            // Each begins with the line feed that ends the one before it.
            author: Person { name: fields[0].trim_ascii_start().into(), email: fields[1].into() },
            co_authors: fields[2]
                .split(|&b| b == b'\n')
                .filter(|line| !line.trim_ascii().is_empty())
                .map(Person::parse)
                .collect(),
            subject: fields[3].into(),
        })
        .collect())
}

/// Whom git names; `which` is a variable of `git var`.
fn identity(repo: &Repository, which: &str) -> Result<Person> {
    Ok(Person::parse(repo.git().args(["var", which]).line()?.as_bstr()))
}
