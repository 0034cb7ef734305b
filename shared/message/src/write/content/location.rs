//! A location, or a live location at one moment.

use model::{Item, Kind};

use super::statements::row;
use crate::write::{
    body::{Block, Body, Row, Sentence, Tone},
    clean::one_line,
    links,
};

pub(super) fn compose(item: &Item, body: &mut Body<'_>) {
    body.title = if item.kind == Kind::LiveLocation { "Live location" } else { "Location" }.into();
    let Some(location) = &item.location else {
        body.tone = Tone::Gone;
        body.blocks.push(Block::Notice(Sentence::new("The location was not captured.")));
        return;
    };
    let mut rows = Vec::new();
    rows.extend(row("Place", location.name.as_deref()));
    rows.extend(row("Address", location.address.as_deref()));
    if let (Some(latitude), Some(longitude)) = (location.latitude, location.longitude) {
        let on_earth = latitude.abs() <= 90.0 && longitude.abs() <= 180.0;
        rows.push(Row::new("Coordinates", format!("{}, {}", degrees(latitude), degrees(longitude))));
        if on_earth {
            let href = format!(
                "https://www.openstreetmap.org/?mlat={latitude}&mlon={longitude}#map=16/{latitude}/{longitude}"
            );
            rows.push(Row::link("Map", "OpenStreetMap", Some(href)));
        }
    }
    if let Some(metres) = location.accuracy_meters {
        rows.push(Row::new("Accuracy", format!("{} metres", degrees(metres))));
    }
    if let Some(url) = &location.url {
        let href = links::whole(url).map(|link| link.href);
        rows.push(Row::link("Link", one_line(url, 2_048), href));
    }
    body.blocks.push(Block::Rows(rows));
}

/// Formats a number as captured, or in scientific notation if it would have hundreds of digits.
fn degrees(number: f64) -> String {
    if number.abs() < 1e9 { number.to_string() } else { format!("{number:e}") }
}
