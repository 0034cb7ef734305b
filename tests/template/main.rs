//! template.yaml against the code that it deploys: what the linters cannot know.

mod alarms;
mod conditions;
mod deploying;
mod document;
mod functions;
mod permissions;
mod protection;
mod runbook;
