//! A poll, and votes in a poll.

use model::Item;

use super::statements::{in_the_evidence, quote, row};
use crate::write::{
    amounts,
    body::{Block, Body, Choice, Quoted, Sentence, Tone},
    clean::one_line,
    people,
};

/// Maximum number of options that are shown; WhatsApp has at most 12.
const MAX_OPTIONS: usize = 1_000;
/// Maximum length of an option, in characters.
const MAX_OPTION: usize = 500;

pub(super) fn compose(item: &Item, body: &mut Body<'_>) {
    body.title = "Poll".into();
    let Some(poll) = &item.poll else { return missing("The poll was not captured.", body) };
    body.blocks.extend(row("Question", poll.question.as_deref()).map(|row| Block::Rows(vec![row])));
    // A poll that is captured again later may contain votes.
    let votes = poll.votes.as_deref().unwrap_or_default();
    options(&poll.options, votes, body);
    let rule = match poll.selectable {
        None => return,
        Some(0) => "Any number of options may be chosen.".to_owned(),
        Some(1) => "One option may be chosen.".to_owned(),
        Some(max) => format!("Up to {} options may be chosen.", amounts::thousands(max)),
    };
    body.blocks.push(Block::Notice(Sentence::new(rule)));
}

pub(super) fn compose_vote<'a>(item: &'a Item, body: &mut Body<'a>) {
    body.title = "Vote in a poll".into();
    let who = Sentence::of(people::name(&item.from));
    match item.poll.as_ref().and_then(|poll| poll.votes.as_deref()) {
        None => missing("The votes were not captured.", body),
        Some([]) => body.blocks.push(Block::Notice(who.ours(" removed the vote."))),
        Some(votes) => {
            let voted = format!(" voted for {}.", amounts::counted(votes.len() as u64, "option"));
            body.blocks.push(Block::Notice(who.ours(voted)));
        }
    }
    if let Some(poll) = &item.poll {
        body.blocks.extend(row("Question", poll.question.as_deref()).map(|row| Block::Rows(vec![row])));
        options(&poll.options, poll.votes.as_deref().unwrap_or_default(), body);
    }
    body.blocks.extend(item.target.as_ref().map(|target| {
        let quote = quote("The poll", target);
        match quote.text {
            Quoted::Words(_) => Block::Quote(quote),
            // A vote refers to its poll only; other captured targets are ignored.
            Quoted::Described(_) => Block::Notice(quote.heading.ours(".")),
        }
    }));
}

fn missing(notice: &'static str, body: &mut Body<'_>) {
    body.tone = Tone::Gone;
    body.blocks.push(Block::Notice(Sentence::new(notice)));
}

/// Adds the options with the chosen ones marked, then chosen options that are missing in the captured list.
fn options(options: &[String], votes: &[String], body: &mut Body<'_>) {
    let chosen: std::collections::HashSet<&str> = votes.iter().map(String::as_str).collect();
    let known: std::collections::HashSet<&str> = options.iter().map(String::as_str).collect();
    let others = votes.iter().filter(|vote| !known.contains(vote.as_str()));
    let choices: Vec<Choice> = options
        .iter()
        .chain(others)
        .take(MAX_OPTIONS)
        .map(|option| Choice { chosen: chosen.contains(option.as_str()), option: one_line(option, MAX_OPTION) })
        .collect();
    if !choices.is_empty() {
        body.blocks.push(Block::Options(choices));
    }
    if options.len() > MAX_OPTIONS || votes.len() > MAX_OPTIONS {
        body.blocks.push(Block::Notice(in_the_evidence("More options")));
    }
}
