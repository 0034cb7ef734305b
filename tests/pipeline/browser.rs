//! Renders a page in headless chromium without network access.

use std::{path::Path, process::Stdio};

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Command;

/// Measures the page and writes the result into the root element, which `--dump-dom` prints.
const MEASURE: &str = r#"<script>
const width = document.documentElement.clientWidth, wrong = [];
const name = element => element.tagName + ': ' + element.textContent.trim().slice(0, 40);
if (document.documentElement.scrollWidth > width) wrong.push('the page is ' + document.documentElement.scrollWidth + ' wide');
const shown = [...document.querySelectorAll('body *')].filter(element => !element.closest('script'));
const isHidden = element => getComputedStyle(element).clipPath !== 'none';
for (const element of shown) {
  if (isHidden(element) || isHidden(element.closest('thead') ?? element)) continue;
  const box = element.getBoundingClientRect();
  if (box.width && (box.left < -0.5 || box.right > width + 0.5)) wrong.push('beyond the edge: ' + name(element));
  if (!element.closest('svg') && getComputedStyle(element).display !== 'inline' && element.scrollWidth > element.clientWidth + 1)
    wrong.push('wider than its box: ' + name(element));
}
const rects = [...document.querySelectorAll('td.bar rect')].map(rect => rect.getBoundingClientRect());
document.documentElement.dataset.measured = JSON.stringify({
  width, wrong, elements: shown.length,
  bars: rects.length, smallestBar: Math.min(...rects.map(rect => rect.width)),
  foreign: document.querySelectorAll('script:not(:last-of-type), img, link, iframe, object, embed, form, base').length,
  ran: 'ran' in document.documentElement.dataset,
  rows: [...document.querySelectorAll('#failures tbody tr')].map(row => [...row.children].map(cell => cell.innerText.trim())),
  days: [...document.querySelectorAll('#days tbody tr')].map(row => [...row.children].map(cell => cell.innerText.trim())),
});
</script>"#;

/// Measures the page in a window of this width, in CSS pixels.
///
/// The measured copy contains the test's script and not the page's policy against scripts, so that a script injected
/// through a name would also run and be detected.
pub(crate) async fn measure(page: &str, width: u32) -> anyhow::Result<Value> {
    let directory = tempfile::tempdir()?;
    let policy = "default-src 'none'; style-src 'unsafe-inline'";
    ensure!(page.contains(policy), "the page has no policy against scripts and other hosts");
    let copy = page.replace(policy, "").replace("</body>", &format!("{MEASURE}</body>"));
    let file = directory.path().join("page.html");
    std::fs::write(&file, copy)?;
    let dom =
        run_chromium(directory.path(), width, &["--dump-dom".to_owned(), format!("file://{}", file.display())]).await?;
    let (_, measured) = dom.split_once("data-measured=\"").context("the script did not run")?;
    let (measured, _) = measured.split_once('"').context("an attribute of the page has no end")?;
    let measured =
        measured.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&nbsp;", "\u{a0}");
    Ok(serde_json::from_str(&measured.replace("&amp;", "&"))?)
}

/// Runs chromium without network access and returns its stdout.
async fn run_chromium(directory: &Path, width: u32, arguments: &[String]) -> anyhow::Result<String> {
    let mut command = Command::new("chromium");
    command
        // The page is trusted, and the sandbox is not available in a container.
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"])
        .arg("--host-resolver-rules=MAP * ~NOTFOUND")
        .arg(format!("--user-data-dir={}", directory.join("profile").display()))
        .arg(format!("--window-size={width},900"))
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.context("chromium is not installed: run tests/install-tools")?;
    ensure!(output.status.success(), "chromium: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
