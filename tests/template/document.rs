//! Reads template.yaml as JSON: a tag of CloudFormation becomes the object that it abbreviates, and each `Fn::ForEach`
//! is expanded.

use std::{collections::BTreeSet, fs, path::PathBuf};

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// Returns the folder of template.yaml.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the text of a file of the repository.
pub(crate) fn read_text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the names of the folders in a folder.
pub(crate) fn list_folders(path: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let entries = entries.map(|entry| entry.unwrap_or_else(|error| panic!("{path}: {error}")));
    let mut names: Vec<_> = entries
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// A template of CloudFormation as JSON.
pub(crate) struct Template(Value);

impl Template {
    /// Reads template.yaml.
    pub(crate) fn read() -> Self {
        let text = read_text("template.yaml");
        Self::parse(&text)
    }

    /// Parses the text of a template.
    pub(crate) fn parse(text: &str) -> Self {
        let documents = Yaml::load_from_str(text).expect("the template is not YAML");
        let mut template = to_json(&documents[0]);
        let mappings = template["Mappings"].clone();
        let Some(resources) = template["Resources"].as_object_mut() else { panic!("no resources") };
        for (name, definition) in std::mem::take(resources) {
            if name.starts_with("Fn::ForEach::") {
                resources.extend(expand_for_each(&definition, &mappings));
            } else {
                resources.insert(name, definition);
            }
        }
        Self(template)
    }

    /// Returns a section at the top level.
    pub(crate) fn section(&self, name: &str) -> &Map<String, Value> {
        self.0[name].as_object().unwrap_or_else(|| panic!("no section {name}"))
    }

    /// Returns the properties of one resource.
    pub(crate) fn properties(&self, resource: &str) -> &Value {
        let properties = &self.0["Resources"][resource]["Properties"];
        assert!(properties.is_object(), "no resource {resource}");
        properties
    }

    /// Returns the resources of a type: logical ids and properties.
    pub(crate) fn resources_of_type(&self, resource_type: &str) -> Vec<(&str, &Value)> {
        let resources = self.section("Resources").iter();
        let found: Vec<_> = resources
            .filter(|(_, resource)| resource["Type"] == resource_type)
            .map(|(id, resource)| (id.as_str(), &resource["Properties"]))
            .collect();
        assert!(!found.is_empty(), "no resource of type {resource_type}");
        found
    }

    /// Returns the functions: the binary that each runs, its logical id and its properties.
    pub(crate) fn functions(&self) -> Vec<(&str, &str, &Value)> {
        let named = self.resources_of_type("AWS::Serverless::Function").into_iter().map(|(id, properties)| {
            let code = properties["CodeUri"].as_str().unwrap_or_else(|| panic!("{id} has no CodeUri"));
            (code.rsplit('/').next().unwrap_or(code), id, properties)
        });
        named.collect()
    }

    /// Returns the conditions to which resources, outputs, expressions and other conditions refer.
    pub(crate) fn referenced_conditions(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        visit_members(&self.0, &mut |key, value| {
            let condition = match key {
                "Condition" => value.as_str(),
                "Fn::If" => value[0].as_str(),
                _ => None,
            };
            found.extend(condition.map(str::to_owned));
        });
        found
    }

    /// Returns the logical ids to which the expressions of the template refer.
    pub(crate) fn referenced_ids(&self) -> Vec<String> {
        let mut found = Vec::new();
        visit_members(&self.0, &mut |key, value| {
            let Some(text) = value.as_str() else { return };
            match key {
                "Ref" => found.push(text.to_owned()),
                "Fn::GetAtt" => found.extend(text.split('.').next().map(str::to_owned)),
                "Fn::Sub" => found.extend(variables(text)),
                _ => {}
            }
        });
        found
    }
}

/// Returns the resources of an `Fn::ForEach`: the body once for each value of the variable.
fn expand_for_each(definition: &Value, mappings: &Value) -> Vec<(String, Value)> {
    let Some([variable, values, body]) = definition.as_array().map(Vec::as_slice) else {
        panic!("Fn::ForEach lacks a variable, values or a body: {definition}")
    };
    let variable = variable.as_str().expect("no variable");
    let body = body.as_object().expect("no resources");
    let values = values.as_array().expect("no values").iter().filter_map(Value::as_str);
    let resources_for = |value: &str| {
        let each = body.iter().map(|(name, resource)| {
            (name.replace(&format!("${{{variable}}}"), value), substitute(resource, variable, value, mappings))
        });
        each.collect::<Vec<_>>()
    };
    values.flat_map(resources_for).collect()
}

/// Returns a part of the body for one value of the variable: a `Ref` to the variable becomes the value, `Fn::FindInMap`
/// the entry of the map, and an `Fn::Sub` with its own variables the text with their values.
fn substitute(part: &Value, variable: &str, value: &str, mappings: &Value) -> Value {
    let substitute_inner = |part: &Value| substitute(part, variable, value, mappings);
    match part {
        Value::Object(members) => {
            if members.get("Ref").is_some_and(|name| name == variable) {
                return json!(value);
            }
            if let Some(path) = members.get("Fn::FindInMap").and_then(Value::as_array) {
                let found = path
                    .iter()
                    .map(substitute_inner)
                    .fold(mappings.clone(), |at, key| at[key.as_str().unwrap_or_default()].clone());
                assert!(!found.is_null(), "nothing at {path:?} for {value}");
                return found;
            }
            if let Some([Value::String(text), Value::Object(replacements)]) =
                members.get("Fn::Sub").and_then(Value::as_array).map(Vec::as_slice)
            {
                let text = replacements.iter().fold(text.clone(), |text, (name, part)| {
                    text.replace(
                        &format!("${{{name}}}"),
                        substitute_inner(part).as_str().expect("the part has no text"),
                    )
                });
                return json!({"Fn::Sub": text});
            }
            members.iter().map(|(name, part)| (name.clone(), substitute_inner(part))).collect::<Map<_, _>>().into()
        }
        Value::Array(parts) => parts.iter().map(substitute_inner).collect(),
        other => other.clone(),
    }
}

/// Returns the names in `${…}`, without attributes.
fn variables(text: &str) -> Vec<String> {
    let parts = text.split("${").skip(1).filter_map(|rest| rest.split('}').next());
    parts.map(|name| name.split('.').next().unwrap_or(name).to_owned()).collect()
}

/// Calls a function with each member of each object in a value.
fn visit_members(value: &Value, each: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                each(key, value);
                visit_members(value, each);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| visit_members(value, each)),
        _ => {}
    }
}

/// Converts YAML to JSON. A tag such as `!Ref` becomes an object.
fn to_json(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(value)) => json!(value),
        Yaml::Representation(value, ..) => json!(value),
        Yaml::Sequence(values) => values.iter().map(to_json).collect(),
        Yaml::Mapping(members) => {
            let name = |key: &Yaml<'_>| match to_json(key) {
                Value::String(name) => name,
                other => other.to_string(),
            };
            Value::Object(members.iter().map(|(key, value)| (name(key), to_json(value))).collect())
        }
        Yaml::Tagged(tag, value) => {
            let name = match tag.suffix.as_str() {
                short @ ("Ref" | "Condition") => short.to_owned(),
                function => format!("Fn::{function}"),
            };
            json!({name: to_json(value)})
        }
        Yaml::Alias(_) | Yaml::BadValue => {
            panic!("the template has a YAML alias, which CloudFormation does not accept")
        }
    }
}
