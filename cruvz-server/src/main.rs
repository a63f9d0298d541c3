//! The binary `cruvz-server`.

use std::process::ExitCode;

fn main() -> ExitCode {
    cruvz_server::main()
}
