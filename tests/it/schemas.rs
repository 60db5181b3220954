//! The JSON Schemas in `schemas/`, and the files that people start from.

use std::path::{Path, PathBuf};

use titan::model::{Limits, ObjectRef, RepoPath, SourceFile};
use titan::parse::{Place, classify, parse, schema, schemas};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Fails, and writes the new ones, when the types and `schemas/` differ.
#[test]
fn regenerating_changes_nothing() {
    let folder = root().join("schemas");
    let mut changed = Vec::new();
    let api = ("openapi.json".to_owned(), titan::api::openapi::document());
    for (name, schema) in schemas().into_iter().chain([api]) {
        let path = folder.join(&name);
        let text = serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n";
        if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            std::fs::create_dir_all(&folder).expect("the folder can be made");
            std::fs::write(&path, text).expect("the schema can be written");
            changed.push(name);
        }
    }
    assert_eq!(changed, Vec::<String>::new(), "these were out of date and are written anew");
    let files = std::fs::read_dir(folder).expect("the folder can be read").count();
    assert_eq!(files, schemas().len() + 1, "a file in `schemas/` has no type");
}

#[test]
fn each_is_a_valid_schema_of_2020_12() {
    for (name, schema) in schemas() {
        jsonschema::draft202012::meta::validate(&schema)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(schema["$id"], format!("https://titan.dev/schemas/v1/{name}"));
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        for field in ["title", "description"] {
            assert!(schema[field].as_str().is_some_and(|text| !text.is_empty()), "{name}: {field}");
        }
        let mut bare = Vec::new();
        undescribed(&schema, &name, &mut bare);
        assert_eq!(bare, Vec::<String>::new(), "fields without a description");
    }
}

/// Fields that an editor could say nothing about.
fn undescribed(schema: &serde_json::Value, place: &str, found: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{place} {name}");
        if field["description"].as_str().is_none_or(str::is_empty) {
            found.push(place.clone());
        }
        undescribed(field, &place, found);
        undescribed(&field["items"], &place, found);
    }
}

/// The files below `folder`, as a commit would have them.
fn source_files(folder: &Path) -> Vec<SourceFile> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name();
    let files = walk.into_iter().map(|entry| entry.expect("the folder can be read"));
    files
        .filter(|entry| entry.file_type().is_file())
        .map(|entry| {
            let path =
                entry.path().strip_prefix(folder).expect("it lies below").to_str().expect("UTF-8");
            let bytes = std::fs::read(entry.path()).expect("the file can be read");
            SourceFile::regular(RepoPath::new(path).expect("the path is one"), bytes)
        })
        .collect()
}

/// `repo-layout/`, and each folder of `examples/`.
fn fleets() -> Vec<PathBuf> {
    let mut fleets = vec![root().join("repo-layout")];
    for entry in std::fs::read_dir(root().join("examples")).into_iter().flatten().flatten() {
        fleets.push(entry.path());
    }
    fleets.retain(|folder| folder.is_dir());
    fleets
}

#[test]
fn what_people_start_from_has_no_problem() {
    for folder in fleets() {
        let files = source_files(&folder);
        let parsed = parse(None, &files);
        let found: Vec<String> = parsed.diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(found, Vec::<String>::new(), "{}", folder.display());
        for file in &files {
            if let Place::Object(object) = classify(&file.path) {
                check_against_schema(&object, file);
            }
        }
    }
}

/// A second opinion: YAML as another library reads it, against the file that editors use.
fn check_against_schema(object: &ObjectRef, file: &SourceFile) {
    let titan::model::Content::Bytes(bytes) = &file.content else { panic!("it is a file") };
    assert!(bytes.len() < Limits::default().yaml_size.bytes());
    let text = std::str::from_utf8(bytes).expect("it is UTF-8");
    let value: serde_json::Value = serde_saphyr::from_str(text).expect("it is YAML");
    let schema = &schemas()[&schema::file_name(object.kind())];
    let validator = jsonschema::draft202012::new(schema).expect("a valid schema");
    let errors: Vec<String> =
        validator.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new(), "{}", file.path);
}
