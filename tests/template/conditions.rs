//! The template's conditions and rules, evaluated for a deployment's parameters.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::document::Template;

/// Parameters of a deployment. Parameters that are not given have their defaults.
pub(crate) type Parameters<'a> = [(&'a str, &'a str)];

impl Template {
    /// Returns `true` if a condition holds.
    pub(crate) fn holds(&self, condition: &str, parameters: &Parameters<'_>) -> bool {
        self.is_true(&self.section("Conditions")[condition], parameters)
    }

    /// Returns the violated rules, with the text of their assertions.
    pub(crate) fn violations(&self, parameters: &Parameters<'_>) -> Vec<&str> {
        let rules = self.section("Rules").values();
        let applies = |rule: &&Value| rule.get("RuleCondition").is_none_or(|applies| self.is_true(applies, parameters));
        let assertions = rules.filter(applies).flat_map(|rule| rule["Assertions"].as_array().expect("no assertions"));
        let violated = assertions.filter(|assertion| !self.is_true(&assertion["Assert"], parameters));
        violated.filter_map(|assertion| assertion["AssertDescription"].as_str()).collect()
    }

    /// Replaces each `Fn::If` in a value by the branch that applies. Members that become `AWS::NoValue` are left out.
    pub(crate) fn evaluate(&self, value: &Value, parameters: &Parameters<'_>) -> Value {
        match value {
            Value::Object(members) => {
                if let Some([condition, yes, no]) = members.get("Fn::If").and_then(Value::as_array).map(Vec::as_slice) {
                    let holds = self.holds(condition.as_str().expect("no condition"), parameters);
                    return self.evaluate(if holds { yes } else { no }, parameters);
                }
                let evaluated = members.iter().map(|(name, value)| (name.clone(), self.evaluate(value, parameters)));
                Value::Object(evaluated.filter(|(_, value)| !is_no_value(value)).collect())
            }
            Value::Array(values) => values
                .iter()
                .map(|value| self.evaluate(value, parameters))
                .filter(|value| !is_no_value(value))
                .collect(),
            other => other.clone(),
        }
    }

    /// Returns `true` if an expression of conditions is true for these parameters.
    fn is_true(&self, expression: &Value, parameters: &Parameters<'_>) -> bool {
        let members = expression.as_object().unwrap_or_else(|| panic!("not a condition: {expression}"));
        let (function, operands) = members.iter().next().expect("no function");
        let each = || operands.as_array().expect("no operands").iter();
        match function.as_str() {
            "Fn::Equals" => {
                let values: Vec<_> = each().map(|operand| self.operand_text(operand, parameters)).collect();
                values[0] == values[1]
            }
            "Fn::Not" => !self.is_true(&operands[0], parameters),
            "Fn::And" => each().all(|operand| self.is_true(operand, parameters)),
            "Fn::Or" => each().any(|operand| self.is_true(operand, parameters)),
            "Condition" => self.holds(operands.as_str().expect("no condition"), parameters),
            other => panic!("unsupported function {other} in a condition"),
        }
    }

    /// Returns the value of a parameter.
    pub(crate) fn value_of(&self, name: &str, parameters: &Parameters<'_>) -> String {
        let given: BTreeMap<_, _> = parameters.iter().copied().collect();
        let default = || literal(&self.section("Parameters")[name]["Default"]);
        given.get(name).map_or_else(default, |value| (*value).to_owned())
    }

    /// Returns the value of a parameter, or a literal.
    fn operand_text(&self, operand: &Value, parameters: &Parameters<'_>) -> String {
        operand["Ref"].as_str().map_or_else(|| literal(operand), |name| self.value_of(name, parameters))
    }
}

fn literal(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_no_value(value: &Value) -> bool {
    value["Ref"] == "AWS::NoValue"
}
