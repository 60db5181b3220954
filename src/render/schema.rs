//! The merged values against the template's `parameters`.

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::model::{Deployment, Diagnostic, Template};

/// Most problems that are reported for one set of values.
const MAX_PROBLEMS: usize = 20;

/// The validator for `parameters`, if there are any. It fetches nothing, and its regular expressions
/// take linear time.
pub(super) fn compile(template: &Template, problems: &mut Vec<Diagnostic>) -> Option<Validator> {
    let schema = template.parameters.as_ref()?;
    let options = jsonschema::options().offline().with_pattern_options(PatternOptions::regex());
    match options.build(schema) {
        Ok(validator) => Some(validator),
        Err(error) => {
            let place = error.instance_path().to_string();
            let message = format!("`parameters{place}` is not a JSON Schema: {}", error.masked());
            problems.push(Diagnostic::error("values/schema", message).at(&template.path));
            None
        }
    }
}

/// What is wrong with the values; their contents stay out of the messages.
pub(super) fn check(
    validator: &Validator,
    values: &Value,
    deployment: &Deployment,
) -> Vec<Diagnostic> {
    let problem = |error: jsonschema::ValidationError<'_>| {
        let path = error.instance_path().to_string().replace('/', ".");
        let message = format!("`values{path}`: {} ({})", error.masked(), deployment.id);
        Diagnostic::error("values/schema", message)
            .at(&deployment.path)
            .fix(format!("give values that fit `parameters` of template `{}`", deployment.template))
    };
    validator.iter_errors(values).take(MAX_PROBLEMS).map(problem).collect()
}
