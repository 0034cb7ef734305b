//! Exports of many phones and languages, as public bug reports show them, and what each must become.

mod files;
mod senders;
mod support;
mod times;

use chat_export::{DateOrder, ExportError, OrderEvidence, Settings};
use model::Kind;
use pretty_assertions::assert_eq;

use support::{items, lines, read_as, senders_and_times, settings, text};

#[test]
fn pasted_chat_in_an_iphones_file_stays_with_its_sender() {
    let chat = "[13/07/24, 10:00:00] Ada: as you wrote\n[12/07/24, 09:00:00] Bo: I accept the price\r\n\
                [13/07/24, 10:01:00] Bo: I never wrote that\r\n";
    let export = text(chat).unwrap();
    assert_eq!(senders_and_times(&export), ["2024-07-13 10:00 Ada", "2024-07-13 10:01 Bo"]);
    assert_eq!(export.summary().suspicious_lines, [2]);
    let (_, evidence) = &items(&export)[0];
    assert_eq!(evidence["export"]["suspiciousLines"], serde_json::json!([2]));
    assert!(evidence["upload"]["notes"][0].as_str().unwrap().ends_with("in line 2 of the export"));
}

#[test]
fn message_whose_time_goes_back_is_marked() {
    let pasted = "13/07/2024, 10:00 - Ada: as you wrote:\n12/07/2024, 09:00 - Bo: I accept the price\n\
                  12/07/2024, 09:05 - Ada: thanks\n13/07/2024, 10:01 - Bo: I never wrote that\n";
    let export = text(pasted).unwrap();
    let noted: Vec<bool> = items(&export)
        .iter()
        .map(|(item, _)| item.upload.as_ref().unwrap().notes.iter().any(|note| note.contains("pasted chat")))
        .collect();
    assert_eq!((noted, export.summary().out_of_order_lines), (vec![false, true, true, false], vec![2, 3]));

    // The message after a pasted part may itself be some minutes early: it ends the part, and is not marked.
    let early = "13/07/2024, 10:00 - Ada: as you wrote:\n12/07/2024, 09:00 - Bo: I accept the price\n\
                 12/07/2024, 09:05 - Ada: thanks\n13/07/2024, 09:59 - Bo: I never wrote that\n";
    assert_eq!(text(early).unwrap().summary().out_of_order_lines, [2, 3]);
    // Without a return, as after a phone's clock was corrected, only the first is marked.
    let corrected = "13/07/2024, 10:00 - Ada: a\n12/07/2024, 10:00 - Ada: b\n12/07/2024, 10:01 - Bo: c\n";
    assert_eq!(text(corrected).unwrap().summary().out_of_order_lines, [2]);
    // Clocks of two phones differ by minutes.
    let minutes = "13/07/2024, 10:40 - Ada: a\n13/07/2024, 10:01 - Bo: b\n13/07/2024, 10:41 - Ada: c\n";
    assert_eq!(text(minutes).unwrap().summary().out_of_order(), None);
    // In an iPhone's file a pasted line is not a message at all.
    let iphone = "[13/07/24, 10:00:00] Ada: a\r\n[12/07/24, 09:00:00] Bo: b\r\n[13/07/24, 10:01:00] Bo: c\r\n";
    assert_eq!(text(iphone).unwrap().summary().out_of_order(), None);
    // One CR LF in a text does not show that: the messages begin after LF.
    let stray = "[13/07/24, 10:00:00] Ada: a\r\nb\n[12/07/24, 09:00:00] Bo: c\n[13/07/24, 10:01:00] Bo: d\n";
    assert_eq!(text(stray).unwrap().summary().out_of_order_lines, [3]);
}

#[test]
fn months_in_words_are_read_with_and_without_full_stop() {
    for (first, second) in [
        ("21:16, 8 Okt. 2015", "21:17, 9 März 2016"),
        ("8 oct. 2015 à 21:16", "9 mars 2016 à 21:17"),
        ("8 d’oct. 2015, 21:16", "9 de març 2016, 21:17"),
        ("8 אוק׳ 2015, 21:16", "9 מרץ 2016, 21:17"),
        ("8 अक्टू॰ 2015, 21:16", "9 मार्च 2016, 21:17"),
    ] {
        let export = text(&format!("{first} - Bo: y\n{second} - Bo: z\n")).unwrap();
        assert_eq!(senders_and_times(&export), ["2015-10-08 21:16 Bo", "2016-03-09 21:17 Bo"], "{first}");
    }
}

#[test]
fn day_periods_of_every_language_give_their_hour() {
    assert_eq!(
        lines(
            "21.03.24, 9:15 vorm. - Ada: eins\n21.03.24, 12:15 mittags - Bo: zwei\n21.03.24, 3:16 nachm. - Ada: drei\n\
             21.03.24, 9:17 abends - Bo: vier\n21.03.24, 11:18 nachts - Ada: fünf\n22.03.24, 7:19 morgens - Bo: sechs\n"
        ),
        [
            "2024-03-21 09:15 Ada",
            "2024-03-21 12:15 Bo",
            "2024-03-21 15:16 Ada",
            "2024-03-21 21:17 Bo",
            "2024-03-21 23:18 Ada",
            "2024-03-22 07:19 Bo"
        ]
    );
    for (line, time) in [
        ("12.07.2024 ÖS 10:35 - Ada: x", "2024-07-12 22:35 Ada"),
        ("27/12/2024, 3:49 in the afternoon - Ada: x", "2024-12-27 15:49 Ada"),
        ("2024/7/12 下午10:35 - Ada: x", "2024-07-12 22:35 Ada"),
        ("2024. 7. 12. 오후 10:35 - Ada: x", "2024-07-12 22:35 Ada"),
        ("१२/७/२४, दुपार १:३५ - Ada: x", "2024-07-12 13:35 Ada"),
        ("[13.7.2024 klo 9.25.11 ip.] Ada: x", "2024-07-13 21:25 Ada"),
        ("\u{200f}١٥\u{200f}/٠١\u{200f}/٢٠٢٠، ٢:٢٢ م - Ada: x", "2020-01-15 14:22 Ada"),
    ] {
        assert_eq!(lines(line), [time], "{line}");
    }
}

#[test]
fn unknown_day_period_is_inferred_or_rejected() {
    assert_eq!(
        lines(
            "21.03.24, 9:15 zork - Ada: a\n21.03.24, 11:20 zork - Bo: b\n21.03.24, 1:16 blip - Ada: c\n\
             21.03.24, 9:17 blip - Bo: d\n22.03.24, 7:19 zork - Ada: e\n"
        ),
        [
            "2024-03-21 09:15 Ada",
            "2024-03-21 11:20 Bo",
            "2024-03-21 13:16 Ada",
            "2024-03-21 21:17 Bo",
            "2024-03-22 07:19 Ada"
        ]
    );
    for chat in ["21.03.24, 9:15 zork - Ada: a\n", "21.03.24 zork 9:15 - Ada: a\n22.03.24 blip 9:15 - Ada: a\n"] {
        assert!(matches!(text(chat).err(), Some(ExportError::DayPeriod { .. })), "{chat}");
    }
}

#[test]
fn connecting_words_and_separators_of_any_kind_are_read() {
    for (line, time) in [
        ("13.6.2024 klo 21.25 - Ada: x", "2024-06-13 21:25 Ada"),
        ("13. 6. 2024. 21:25:15 Ada: x", "2024-06-13 21:25 Ada"),
        ("13.06.24 г., 21:25 ч. - Ada: x", "2024-06-13 21:25 Ada"),
        ("13/06/2024 à 21h25 - Ada: x", "2024-06-13 21:25 Ada"),
        ("2024-06-13 21 h 25 - Ada: x", "2024-06-13 21:25 Ada"),
        ("[13.06.24 kl. 21.25.15] Ada: x", "2024-06-13 21:25 Ada"),
        ("13.06.2024 zork 21:25 - Ada: x", "2024-06-13 21:25 Ada"),
        ("13.06.2024, 21:25 zork - Ada: x", "2024-06-13 21:25 Ada"),
        ("13·06·2024 21:25 – Ada: x", "2024-06-13 21:25 Ada"),
        ("13_06_2024 | 21:25 | Ada: x", "2024-06-13 21:25 Ada"),
        ("(13/06/2024, 21:25:15) Ada: x", "2024-06-13 21:25 Ada"),
        ("21:25 13/06/2024 - Ada: x", "2024-06-13 21:25 Ada"),
        ("lúc 21:25 13/06/2024 - Ada: x", "2024-06-13 21:25 Ada"),
        ("2024年6月13日 21:25 - Ada: x", "2024-06-13 21:25 Ada"),
        ("21:16, 8 Oct 2015 - Ada: x", "2015-10-08 21:16 Ada"),
        ("Oct 8, 2015, 9:16 PM - Ada: x", "2015-10-08 21:16 Ada"),
        ("8 de out. de 2015 21:16 - Ada: x", "2015-10-08 21:16 Ada"),
        ("8-okt-15 21:16 - Ada: x", "2015-10-08 21:16 Ada"),
        ("13/06/24 - 21:25 - Ada: x", "2024-06-13 21:25 Ada"),
        ("13/06/24 (21:25) - Ada: x", "2024-06-13 21:25 Ada"),
    ] {
        assert_eq!(lines(line), [time], "{line}");
    }
}

#[test]
fn years_of_other_calendars_are_converted() {
    for (line, time) in [
        ("[3/18/2567 BE, 14:56:01] Ada: x", "2024-03-18 14:56 Ada"),
        ("[3/18/R6, 14:56:01] Ada: x", "2024-03-18 14:56 Ada"),
        ("R6/3/18 14:56 - Ada: x", "2024-03-18 14:56 Ada"),
        ("令和6年3月18日 14:56 - Ada: x", "2024-03-18 14:56 Ada"),
        ("H31/3/18 14:56 - Ada: x", "2019-03-18 14:56 Ada"),
        ("18/3/67 14:56 - Ada: x", "2024-03-18 14:56 Ada"),
        ("18/3/2567 14:56 น. - Ada: x", "2024-03-18 14:56 Ada"),
        ("1402/12/28، 14:56 - Ada: x", "2024-03-18 14:56 Ada"),
        ("۱۴۰۳/۱/۵،\u{200f} ۱۴:۵۶ - Ada: x", "2024-03-24 14:56 Ada"),
        ("8\u{200f}/9\u{200f}/1445، 14:56 - Ada: x", "2024-03-18 14:56 Ada"),
        ("113/3/18 14:56 - Ada: x", "2024-03-18 14:56 Ada"),
    ] {
        assert_eq!(lines(line), [time], "{line}");
    }
}

#[test]
fn impossible_time_is_rejected_with_the_read_value() {
    for (line, tried) in [
        ("18/3/2067, 14:56 - Ada: x", "2067-03-18"),
        ("18/3/1987, 14:56 - Ada: x", "1987-03-18"),
        ("31/31/2024, 14:56 - Ada: x", "31, 31, 2024"),
        ("3/18/X6, 14:56 - Ada: x", "3, 18, 6 of an unknown era"),
    ] {
        match text(line).err() {
            Some(ExportError::ImpossibleTime { line: 1, tried: found }) => assert_eq!(found, tried, "{line}"),
            other => panic!("{line}: {other:?}"),
        }
    }
}

/// Returns a chat of the first days of a month, with nine messages each.
fn days(month: u8, days: u8) -> String {
    let line = |day| (0..9).map(move |minute| format!("{day:02}/{month:02}/2025, 10:0{minute} - Ada: x\n"));
    (1..=days).flat_map(line).collect()
}

#[test]
fn pasted_lines_do_not_decide_the_order_of_all_dates() {
    let pasted = |line: &str, chat: String| chat.replacen("02/", &format!("{line} - Eve: I agree\n02/"), 1);
    let order = |chat: &str, configured: Option<&str>| {
        let configured = Settings { date_order: configured.map(|word| word.parse().unwrap()), ..settings() };
        let order = read_as("a.txt", chat.as_bytes().to_vec(), None, &configured).unwrap().day_order();
        (order.order, order.evidence)
    };
    // The pasted lines are impossible with the day first; with the month first, they only go back in time.
    for line in ["12/25/2024, 22:00", "12/25/2024, 22:00 - Eve: first\n12/26/2024, 22:00"] {
        let chat = pasted(line, days(3, 11));
        assert_eq!(order(&chat, None).1, OrderEvidence::FewLines, "{line}: an assumption, which the mails state");
        assert_eq!(order(&chat, Some("dmy")), (DateOrder::DayMonthYear, OrderEvidence::Configured), "{line}");
    }
    // All dates are possible with both orders; with the day first, the pasted one goes back.
    let chat = pasted("02/11/2025, 10:00", days(12, 12));
    assert_eq!(order(&chat, None), (DateOrder::DayMonthYear, OrderEvidence::Default));
    // Many lines decide, whatever is configured.
    let american = days(3, 11) + &"03/25/2025, 10:00 - Ada: x\n".repeat(9);
    assert_eq!(order(&american, Some("dmy")).0, DateOrder::MonthDayYear);
    // A few lines after the twelfth are no proof, but the only evidence.
    let european = days(3, 12) + "13/03/2025, 10:00 - Ada: x\n";
    let (dmy, evidence) = order(&european, None);
    assert_eq!((dmy, evidence), (DateOrder::DayMonthYear, OrderEvidence::FewLines));
}

#[test]
fn ambiguous_dates_follow_style_or_configuration() {
    let american = "2/2/24, 2:51\u{202f}AM - Ada: x\n2/4/24, 10:02\u{202f}PM - Bo: y\n";
    let export = text(american).unwrap();
    assert_eq!(senders_and_times(&export), ["2024-02-02 02:51 Ada", "2024-02-04 22:02 Bo"]);
    assert_eq!(export.day_order().evidence, OrderEvidence::Style);
    let (_, evidence) = &items(&export)[0];
    assert_eq!(evidence["upload"]["notes"], serde_json::json!(["date order assumed: month-day-year"]));

    let european = "02/04/24, 22:02 - Ada: x\n";
    assert_eq!(lines(european), ["2024-04-02 22:02 Ada"]);
    assert!(text(european).unwrap().day_order().is_ambiguous());

    for (chat, order, time) in
        [(american, "dmy", "2024-02-02 02:51 Ada"), (european, "month-day-year", "2024-02-04 22:02 Ada")]
    {
        let configured = Settings { date_order: Some(order.parse().unwrap()), ..settings() };
        let export = read_as("a.txt", chat.as_bytes().to_vec(), None, &configured).unwrap();
        assert_eq!(
            (senders_and_times(&export)[0].as_str(), export.day_order().evidence),
            (time, OrderEvidence::Configured)
        );
        assert!(!export.day_order().is_ambiguous());
    }
    // The configuration does not outweigh the numbers.
    let configured = Settings { date_order: Some(DateOrder::MonthDayYear), ..settings() };
    let export = read_as("a.txt", b"13/07/2024, 10:00 - Ada: x".to_vec(), None, &configured).unwrap();
    assert_eq!(export.day_order().order, DateOrder::DayMonthYear);
}

#[test]
fn places_are_read_from_lines_of_their_own() {
    let chat = "13/07/2024, 10:04 - Bo: Some Park\nLondon, United Kingdom\nhttps://foursquare.com/v/4e89af95\n\
                13/07/2024, 10:05 - Bo: zork: https://maps.google.com/?q=55.6,12.5\n";
    let all = items(&text(chat).unwrap());
    let place = all[0].0.location.clone().unwrap();
    assert_eq!((&all[0].0.kind, place.name.as_deref()), (&Kind::Location, Some("Some Park")));
    assert_eq!(place.address.as_deref(), Some("London, United Kingdom"));
    assert_eq!(all[1].0.location.clone().unwrap().latitude, Some(55.6));
}

#[test]
fn utf_16_with_a_byte_order_mark_is_read() {
    let chat = "13/07/2024, 10:00 - Ada: שלום 👩‍🏫\n";
    let little: Vec<u8> = "\u{feff}".encode_utf16().chain(chat.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = "\u{feff}".encode_utf16().chain(chat.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    for bytes in [little, big] {
        let export = read_as("a.txt", bytes, None, &settings()).unwrap();
        assert_eq!(items(&export)[0].0.text.as_deref(), Some("שלום 👩‍🏫"));
    }
}
