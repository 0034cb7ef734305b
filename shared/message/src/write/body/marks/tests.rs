use super::*;

fn html(text: &str) -> String {
    let mut out = String::new();
    let mention = Mention { token: "4520123402".to_owned(), name: "Bo".to_owned() };
    write_html(text, &[mention], &mut out);
    let out = out.replace(CODE, "<code>").replace(QUOTE, "<quote>").replace(LIST, ">").replace(QUOTE_END, "</quote>");
    let out = out.replace("<div dir=\"ltr\">", "").replace("<div dir=\"rtl\" align=\"right\">", "");
    out.replace("</div>", "").replace(" dir=\"ltr\"", "")
}

#[test]
fn marks_are_what_whatsapp_shows() {
    for (text, expected) in [
        ("*bold* _italic_ ~strike~ `code`", "<b>bold</b> <i>italic</i> <s>strike</s> <code>code</code>"),
        ("*_both_*", "<b><i>both</i></b>"),
        ("*a _b* c_", "<b>a _b</b> c_"),
        ("2*3*4 snake_case_name", "2*3*4 snake_case_name"),
        ("* not*", "<ul><li>not*</li></ul>"),
        ("*not * but* this", "<b>not * but</b> this"),
        ("** ~~ __ *", "** ~~ __ *"),
        ("(*x*), *y*.", "(<b>x</b>), <b>y</b>."),
        ("*ב* 👨\u{200d}👩\u{200d}👧", "<b>ב</b> 👨\u{200d}👩\u{200d}👧"),
        ("`*raw*` ```_a_\n<b>```!", "<code>*raw*</code> <code>_a_<br>&lt;b&gt;</code>!"),
        ("``` unclosed *b*", "``` unclosed <b>b</b>"),
        ("> a\n> *b*\nc", "<quote>a<br><b>b</b></quote>c"),
        (
            "- a\n* b\n3. c\n7. d\ne",
            "<ul><li>a</li><li>b</li></ul><ol><li value=\"3\">c</li><li value=\"7\">d</li></ol>e",
        ),
        ("0. a\n1234567. b", "0. a<br>1234567. b"),
        ("a\r\nb\rc\n", "a<br>b<br>c<br>"),
        ("<script>\"&\0", "&lt;script&gt;&quot;&amp;␀"),
        (" a   b", "&nbsp;a&nbsp;&nbsp; b"),
        (
            "@4520123402, @45201234021",
            "<span style=\"background:#e3f4f0;color:#0d5f50\">@4520123402 (<span>Bo</span>)</span>, @45201234021",
        ),
    ] {
        assert_eq!(html(text), expected, "{text:?}");
    }
}

#[test]
fn paragraphs_have_their_own_direction() {
    let mut out = String::new();
    write_html("a\n\nשלום\n12\nb\n- ב\n> ב\n> c", &[], &mut out);
    let out = out.replace(QUOTE, "<quote>").replace(LIST, ">").replace(QUOTE_END, "</quote>");
    let expected = "<div dir=\"ltr\">a<br></div><div dir=\"rtl\" align=\"right\">שלום<br>12</div><div dir=\"ltr\">b</div>\
        <ul><li dir=\"rtl\">ב</li></ul><quote><div dir=\"rtl\" align=\"right\">ב</div><div dir=\"ltr\">c</div></quote>";
    assert_eq!(out, expected);
}

#[test]
fn link_cannot_break_out() {
    let out = html("*https://example.com/a_b_c?x=1&y=2* see (https://example.com/\"><script>)");
    assert!(out.starts_with("<b><a "), "{out}");
    assert!(out.contains("href=\"https://example.com/a_b_c?x=1&amp;y=2\""), "{out}");
    assert!(out.contains("href=\"https://example.com/\">https://example.com/</a>&quot;&gt;&lt;script&gt;"), "{out}");
    assert_eq!(html("xhttps://example.com"), "xhttps://example.com");
    assert_eq!(
        html("@4520123402:Tel:+4520123456").matches("<a rel=\"noreferrer\" href=\"tel:+4520123456\">").count(),
        1
    );
}

/// The test has no time limit: an implementation with quadratic run time would not finish.
#[test]
fn hostile_text_is_read_in_one_pass() {
    for pattern in ["*", "_*~", "*a ", "`", "```", "`a", "- a\n1. a\n> a\n", "http://", "http://é/", "*a _b ~c "] {
        let text = pattern.repeat(MAX_FORMATTED / pattern.len());
        let mut out = String::new();
        write_html(&text, &[], &mut out);
        assert!(out.len() >= text.len() / 8, "{pattern:?}");
    }
    let mut line = Line::default();
    line.read(&"*".repeat(5_000_000), &[]);
    assert!(!line.pieces.is_empty());
    line.read(&"*a _b ~c `".repeat(100_000), &[]);
    assert!(line.pieces.len() > 100_000);
}

#[test]
fn quotes_and_lists_are_bounded() {
    let mut out = String::new();
    let text = "> a\n- b\n1. c\n".repeat(10_000);
    write_html(&text, &[], &mut out);
    assert!(out.len() < 4 * text.len(), "{} bytes", out.len());
    assert_eq!(out.matches("<table").count() + out.matches("<ul").count() + out.matches("<ol").count(), MAX_BLOCKS);
}

#[test]
fn text_too_long_for_whatsapp_is_not_formatted() {
    let text = "> *a*\nb\n".repeat(1_000_000);
    let mut out = String::new();
    write_html(&text, &[], &mut out);
    assert!(!out.contains("<b>") && out.len() < 3 * text.len());
}
