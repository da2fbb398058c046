//! Values that fit a JSON schema.

use serde_json::{Map, Value, json};

use super::value::list;

/// Returns an object with the required properties of `schema`, the same in every run.
pub(crate) fn arguments(schema: &Value) -> Value {
    let arguments = value(schema, schema, 0);
    if arguments.is_object() { arguments } else { json!({}) }
}

/// Returns a value that fits `schema`, whose references point into `root`; `references` were
/// followed on the way to it.
fn value(schema: &Value, root: &Value, references: usize) -> Value {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        // A schema that contains itself has no finite value.
        let target = root.pointer(target.trim_start_matches('#'));
        let target = target.filter(|_| references < MAX_REFERENCES);
        return target.map_or(Value::Null, |target| value(target, root, references + 1));
    }
    let inner = |schema: &Value| value(schema, root, references);
    let given = schema.get("const").or_else(|| schema.get("default").filter(|it| !it.is_null()));
    if let Some(given) = given.or_else(|| list(schema, "enum").first()) {
        return given.clone();
    }
    for union in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = list(schema, union).first() {
            return inner(first);
        }
    }
    match kind(schema) {
        "object" => Value::Object(properties(schema, &inner)),
        "array" => {
            let length = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            let item = schema.get("items").map_or(Value::Null, inner);
            (0..length.min(MAX_ITEMS)).map(|_| item.clone()).collect()
        }
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!("text"),
    }
}

/// Returns the required properties of an object; a property without a schema is a text.
fn properties(schema: &Value, inner: &dyn Fn(&Value) -> Value) -> Map<String, Value> {
    let required = list(schema, "required").iter().filter_map(Value::as_str);
    required
        .map(|name| {
            let property = schema.get("properties").and_then(|properties| properties.get(name));
            (name.to_owned(), inner(property.unwrap_or(&Value::Null)))
        })
        .collect()
}

/// Returns the type of a schema, the first of several; empty if it has none.
fn kind(schema: &Value) -> &str {
    let one = schema.get("type").and_then(Value::as_str);
    let kind = one.or_else(|| list(schema, "type").first().and_then(Value::as_str));
    let object = schema.get("properties").map(|_| "object");
    kind.or(object).unwrap_or_default()
}

const MAX_REFERENCES: usize = 4;
const MAX_ITEMS: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn required_properties_have_values_of_their_types() {
        let schema = json!({
            "type": "object",
            "required": ["a", "b", "c", "d", "e", "f", "g", "h", "i"],
            "properties": {
                "a": { "type": "string" },
                "b": { "type": "integer", "minimum": 3 },
                "c": { "type": ["boolean", "null"] },
                "d": { "enum": ["x", "y"] },
                "e": { "type": "array", "minItems": 2, "items": { "type": "number" } },
                "f": { "anyOf": [{ "const": 7 }, { "type": "null" }] },
                "g": { "$ref": "#/$defs/point" },
                "h": { "type": "string", "default": "given" },
                "optional": { "type": "string" },
            },
            "$defs": {
                "point": { "required": ["x"], "properties": { "x": { "type": "null" } } },
            },
        });
        let expected = json!({
            "a": "text", "b": 3, "c": true, "d": "x", "e": [1, 1], "f": 7, "g": { "x": null },
            "h": "given", "i": "text",
        });
        assert_eq!(arguments(&schema), expected);
    }

    #[test]
    fn odd_schemas_have_some_object() {
        for schema in [Value::Null, json!(true), json!({ "type": "string" }), json!({})] {
            assert_eq!(arguments(&schema), json!({}));
        }
        let endless = json!({
            "type": "object", "required": ["next"], "properties": { "next": { "$ref": "#" } },
        });
        assert!(arguments(&endless)["next"]["next"].is_object());
    }
}
