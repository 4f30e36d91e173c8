//! Variables and flags over the tree of a file.

use crate::node::{Node, Origin, Part, Table, Value, section};

/// The lists whose entries are sections. An entry is addressed by its `name`, or by its number from 0.
const LISTS: [&[&str]; 4] =
    [&["tables"], &["gateway", "keys"], &["gateway", "workgroups"], &["functions", "class"]];
/// The section whose keys may be written with or without a prefix, and the prefix.
const PREFIXED: (&str, &str) = ("params", "s3_");

/// Puts a value where `parts` lead. What is on the way is made if it is not there.
///
/// # Errors
/// A sentence that says why there is no such place.
pub(crate) fn set(root: &mut Node, parts: &[String], value: Node) -> Result<(), String> {
    if parts.is_empty() || parts.iter().any(String::is_empty) {
        return Err("it names no key; write the section and the key".to_owned());
    }
    let origin = value.origin.clone();
    let mut path = Vec::new();
    let mut at = root;
    let mut rest = parts;
    loop {
        let here = path.clone();
        at = match &mut at.value {
            Value::Table(table) => {
                let (first, after) = rest.split_at(1);
                rest = after;
                if rest.is_empty() {
                    insert(table, &here, &first[0], value);
                    return Ok(());
                }
                path.push(Part::Key(first[0].clone()));
                let is_list = is_list(&path);
                table.entry(first[0].clone()).or_insert_with(|| {
                    let empty =
                        if is_list { Value::List(Vec::new()) } else { Value::Table(Table::new()) };
                    Node::new(empty, origin.clone())
                })
            }
            Value::List(nodes) if is_list(&path) => {
                let (index, label, used) = entry(nodes, rest, &path)?;
                rest = &rest[used..];
                if index == nodes.len() {
                    nodes.push(named(&label, &origin));
                }
                path.push(Part::Entry(label.clone()));
                if rest.is_empty() {
                    return replace(&mut nodes[index], &label, value, &path);
                }
                &mut nodes[index]
            }
            _ => return Err(format!("{} is a value and has no keys", section(&path))),
        };
    }
}

fn is_list(path: &[Part]) -> bool {
    let keys: Option<Vec<&str>> = path
        .iter()
        .map(|part| match part {
            Part::Key(key) => Some(key.as_str()),
            Part::Entry(_) => None,
        })
        .collect();
    keys.is_some_and(|keys| LISTS.contains(&keys.as_slice()))
}

/// Inserts a key, and removes its other name: `s3_key` and `key` are one.
fn insert(table: &mut Table, path: &[Part], key: &str, value: Node) {
    let (section, prefix) = PREFIXED;
    if path.last().is_some_and(|part| *part == Part::Key(section.to_owned())) {
        match key.strip_prefix(prefix) {
            Some(short) => table.remove(short),
            None => table.remove(&format!("{prefix}{key}")),
        };
    }
    table.insert(key.to_owned(), value);
}

/// The entry that `rest` begins with: its number, what it is called, and how many parts name it. A name may have two
/// underscores, so the longest name that is there wins.
fn entry(nodes: &[Node], rest: &[String], path: &[Part]) -> Result<(usize, String, usize), String> {
    for used in (1..=rest.len()).rev() {
        let name = rest[..used].join("__");
        let found = nodes.iter().enumerate().find(|(index, node)| {
            node.label(*index).eq_ignore_ascii_case(&name) && (used == 1 || has_name(node))
        });
        if let Some((index, node)) = found {
            return Ok((index, node.label(index), used));
        }
    }
    let first = rest.first().map(String::as_str).unwrap_or_default();
    if let Ok(index) = first.parse::<usize>() {
        if index <= nodes.len() {
            let label =
                nodes.get(index).map_or_else(|| index.to_string(), |node| node.label(index));
            return Ok((index, label, 1));
        }
        return Err(format!(
            "{} has {} entries, so that the next one is number {}",
            section(path),
            nodes.len(),
            nodes.len()
        ));
    }
    if path.first() == Some(&Part::Key("functions".to_owned())) {
        return Err(format!(
            "{} has entries without names; address one by its number from 0",
            section(path)
        ));
    }
    Ok((nodes.len(), first.to_owned(), 1))
}

fn has_name(node: &Node) -> bool {
    node.table().is_some_and(|table| table.contains_key("name"))
}

/// A new entry. A number is no name.
fn named(label: &str, origin: &Origin) -> Node {
    let mut node = Node::empty(origin.clone());
    if label.parse::<usize>().is_err()
        && let Value::Table(table) = &mut node.value
    {
        table.insert("name".to_owned(), Node::new(Value::Text(label.to_owned()), origin.clone()));
    }
    node
}

/// Replaces an entry as a whole. It keeps its name.
fn replace(entry: &mut Node, label: &str, value: Node, path: &[Part]) -> Result<(), String> {
    let Value::Table(keys) = value.value else {
        return Err(format!("{} is a section; write {{ key = value, … }}", section(path)));
    };
    let mut whole = named(label, &value.origin);
    if let Value::Table(table) = &mut whole.value {
        table.extend(keys);
    }
    *entry = whole;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::parse;

    const FILE: &str = "[state]\nlocation = \"x\"\n[state.params]\nkey = \"old\"\n[[tables]]\nname = \"Orders\"\nlocation = \"a\"\n[[tables]]\nname = \"a__b\"\nlocation = \"b\"\n";

    fn merged(sets: &[(&str, &str)]) -> Result<Node, String> {
        let mut root = parse::document("f", FILE).unwrap();
        for (key, text) in sets {
            let parts: Vec<String> = key.split("__").map(str::to_owned).collect();
            let origin = Origin::Variable((*key).into());
            set(&mut root, &parts, parse::loose(text, &origin))?;
        }
        Ok(root)
    }

    fn text<'a>(root: &'a Node, path: &[&str]) -> &'a str {
        let mut at = root;
        for key in path {
            at = match at.list() {
                Some(nodes) => {
                    nodes.iter().enumerate().find(|(n, node)| node.label(*n) == *key).unwrap().1
                }
                None => &at.table().unwrap()[*key],
            };
        }
        at.text().unwrap()
    }

    #[test]
    fn a_key_is_replaced_under_each_of_its_names() {
        let root = merged(&[("state__params__s3_key", "new")]).unwrap();
        let params = root.table().unwrap()["state"].table().unwrap()["params"].table().unwrap();
        assert_eq!(params.keys().collect::<Vec<_>>(), ["s3_key"]);
        assert_eq!(text(&root, &["state", "params", "s3_key"]), "new");
    }

    #[test]
    fn an_entry_is_found_by_its_name_or_made() {
        let root = merged(&[
            ("tables__orders__location", "c"),
            ("tables__a__b__location", "d"),
            ("tables__new__location", "e"),
            ("tables__new__params__key", "k"),
            ("tables__0__format", "csv"),
        ])
        .unwrap();
        assert_eq!(root.table().unwrap()["tables"].list().unwrap().len(), 3);
        assert_eq!(text(&root, &["tables", "Orders", "location"]), "c");
        assert_eq!(text(&root, &["tables", "Orders", "format"]), "csv");
        assert_eq!(text(&root, &["tables", "a__b", "location"]), "d");
        assert_eq!(text(&root, &["tables", "new", "location"]), "e");
        assert_eq!(text(&root, &["tables", "new", "params", "key"]), "k");
        let root = merged(&[("tables__orders", "{ location = \"z\" }")]).unwrap();
        assert_eq!(text(&root, &["tables", "Orders", "location"]), "z");
    }

    #[test]
    fn what_leads_nowhere_is_refused() {
        for (key, says) in [
            ("state__location__x", "[state.location] is a value"),
            ("state____x", "names no key"),
            ("tables__7__format", "the next one is number 2"),
            ("functions__class__small__memory_mb", "by its number"),
            ("tables__orders", "is a section"),
        ] {
            let error = merged(&[(key, "5")]).unwrap_err();
            assert!(error.contains(says), "{key}: {error}");
        }
    }
}
