//! JSON of a shape that we do not know, as rows.

use serde_json::Value;

use crate::{body::Row, clean::one_line, file_name};

/// How many members are shown; the rest is in the evidence.
const MAX_ROWS: usize = 100;
/// The longest path to a member, in characters.
const MAX_PATH: usize = 80;
/// The longest value, in characters.
const MAX_VALUE: usize = 500;

/// The scalars in a value with the paths to them: `buttons[0].title`. Walked with a stack of its own, which never
/// holds more than what is shown for each level.
pub(super) fn rows(value: &Value) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut more = false;
    let mut stack = vec![(String::new(), value)];
    while let Some((path, value)) = stack.pop() {
        if rows.len() == MAX_ROWS {
            more = true;
            break;
        }
        let mut children: Vec<(String, &Value)> = match value {
            Value::Object(members) => {
                more |= members.len() > MAX_ROWS;
                let dot = if path.is_empty() { "" } else { "." };
                let child = |(key, value): (&String, _)| (one_line(&format!("{path}{dot}{key}"), MAX_PATH), value);
                members.iter().take(MAX_ROWS).map(child).collect()
            }
            Value::Array(values) => {
                more |= values.len() > MAX_ROWS;
                let child = |(at, value)| (one_line(&format!("{path}[{at}]"), MAX_PATH), value);
                values.iter().take(MAX_ROWS).enumerate().map(child).collect()
            }
            Value::String(text) => {
                rows.push(Row::new(path, one_line(text, MAX_VALUE)));
                continue;
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                rows.push(Row::new(path, one_line(&value.to_string(), MAX_VALUE)));
                continue;
            }
        };
        children.reverse();
        stack.append(&mut children);
    }
    if more {
        rows.push(Row::new("More", format!("in {}", file_name::EVIDENCE)));
    }
    rows
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_are_shown_in_order_and_bounded() {
        let shown: Vec<_> = rows(&json!({"a": {"b": [1, "x\r\ny"]}, "c": null}))
            .into_iter()
            .map(|row| format!("{}={}", row.key, row.values.concat()))
            .collect();
        assert_eq!(shown, ["a.b[0]=1", "a.b[1]=x y", "c=null"]);
        let wide: Value = (0..100_000).map(|at| json!({"k": at})).collect();
        assert_eq!(rows(&wide).len(), MAX_ROWS + 1);
    }
}
