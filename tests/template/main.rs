//! Compares template.yaml with the code that it deploys.

mod alarms;
mod code;
mod conditions;
mod deploying;
mod document;
mod functions;
mod permissions;
mod prefixes;
mod protection;
mod runbook;
mod updates;
