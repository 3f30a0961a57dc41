//! The definitions as a whole: bounded, structural, stable.

use serde_json::Value;

const KINDS: [&str; 5] = ["Depot", "GroupBinding", "Module", "Provider", "Version"];

#[test]
fn yaml_is_unchanged() {
    let yaml = opendepot_crds::to_yaml().unwrap();
    assert_eq!(
        yaml,
        opendepot_crds::to_yaml().unwrap(),
        "not deterministic"
    );
    insta::assert_snapshot!(yaml);
}

#[test]
fn yaml_reads_back_as_the_definitions() {
    let yaml = opendepot_crds::to_yaml().unwrap();
    let documents: Vec<&str> = yaml
        .split("---\n")
        .filter(|text| !text.is_empty())
        .collect();
    assert_eq!(documents.len(), KINDS.len());
    for (text, crd) in documents.iter().zip(opendepot_crds::all()) {
        let read: Value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(read, serde_json::to_value(&crd).unwrap());
    }
}

#[test]
fn names_and_columns() {
    let mut lines = Vec::new();
    for crd in opendepot_crds::all() {
        let names = &crd.spec.names;
        let version = &crd.spec.versions[0];
        assert_eq!(crd.spec.scope, "Namespaced");
        assert_eq!(
            names.categories.as_deref(),
            Some(&["opendepot".to_owned()][..])
        );
        assert!(version.subresources.as_ref().unwrap().status.is_some());
        assert!(version.served && version.storage && crd.spec.versions.len() == 1);
        lines.push(format!(
            "{} {} {:?} selectable {:?}",
            crd.metadata.name.unwrap(),
            version.name,
            names.short_names.as_ref().unwrap(),
            version
                .selectable_fields
                .iter()
                .flatten()
                .map(|f| f.json_path.as_str())
                .collect::<Vec<_>>(),
        ));
        for column in version.additional_printer_columns.as_ref().unwrap() {
            lines.push(format!(
                "  {} {} {}{}",
                column.name,
                column.type_,
                column.json_path,
                if column.priority == Some(1) {
                    " (wide)"
                } else {
                    ""
                }
            ));
        }
    }
    insta::assert_snapshot!(lines.join("\n"));
}

/// A column whose path does not exist is blank for ever; one that names an object prints Go.
#[test]
fn columns_point_at_scalars() {
    for crd in opendepot_crds::all() {
        let kind = &crd.spec.names.kind;
        for column in crd.spec.versions[0]
            .additional_printer_columns
            .as_ref()
            .unwrap()
        {
            if column.json_path.starts_with(".metadata") || column.json_path.contains("[?") {
                continue;
            }
            let mut schema = crate::support::schema(kind);
            for part in column.json_path.trim_start_matches('.').split('.') {
                schema = schema["properties"][part].clone();
            }
            let type_ = schema["type"].as_str().unwrap_or("absent");
            assert!(
                matches!(type_, "string" | "integer" | "boolean"),
                "{kind} {}: {type_}",
                column.name
            );
        }
    }
}

#[test]
fn everything_is_bounded_and_structural() {
    for kind in KINDS {
        let schema = crate::support::schema(kind);
        for part in ["spec", "status"] {
            walk(&schema["properties"][part], &format!("{kind}.{part}"));
        }
    }
}

fn walk(schema: &Value, path: &str) {
    let object = schema
        .as_object()
        .unwrap_or_else(|| panic!("{path}: not a schema"));
    for forbidden in [
        "anyOf",
        "oneOf",
        "allOf",
        "not",
        "$ref",
        "nullable",
        "uniqueItems",
        "title",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-int-or-string",
    ] {
        assert!(!object.contains_key(forbidden), "{path}: {forbidden}");
    }
    let has = |key: &str| object.contains_key(key);
    match schema["type"].as_str() {
        Some("string") => assert!(has("maxLength") || has("enum"), "{path}: no maxLength"),
        Some("integer") => {
            assert!(has("minimum") && has("maximum"), "{path}: no range");
            assert!(
                matches!(schema["format"].as_str(), None | Some("int64")),
                "{path}: format"
            );
        }
        Some("boolean") => {}
        Some("array") => {
            assert!(
                has("maxItems") && has("x-kubernetes-list-type"),
                "{path}: list"
            );
            walk(&schema["items"], &format!("{path}[]"));
        }
        Some("object") => {
            if let Some(properties) = schema["properties"].as_object() {
                for (name, property) in properties {
                    walk(property, &format!("{path}.{name}"));
                }
            } else {
                assert!(has("maxProperties"), "{path}: no maxProperties");
                walk(&schema["additionalProperties"], &format!("{path}{{}}"));
            }
        }
        other => panic!("{path}: type {other:?}"),
    }
    for rule in schema["x-kubernetes-validations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        assert!(
            rule["message"].as_str().is_some_and(|text| text.len() > 10),
            "{path}: {rule}"
        );
    }
}

/// A cluster answers `FieldValueDuplicate` with the value alone: the rule's words would be lost.
#[test]
fn every_rule_says_what_is_wrong() {
    fn visit(schema: &Value, path: &str, num_rules: &mut usize) {
        for rule in schema["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            assert!(rule["message"].is_string(), "{path}: {rule}");
            assert_ne!(rule["reason"], "FieldValueDuplicate", "{path}: {rule}");
            *num_rules += 1;
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            visit(property, &format!("{path}.{name}"), num_rules);
        }
        for below in ["items", "additionalProperties"] {
            if schema[below].is_object() {
                visit(&schema[below], path, num_rules);
            }
        }
    }
    let mut num_rules = 0;
    for kind in KINDS {
        visit(&crate::support::schema(kind), kind, &mut num_rules);
    }
    assert!(num_rules > 50, "{num_rules}");
}
