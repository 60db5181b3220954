//! The `titan` binary: calls [`titan::cli::run`] and returns its exit code.

fn main() -> std::process::ExitCode {
    titan::cli::run()
}
