"""The peer: convert's and import's work as a good Python Lambda does it, with the standard library.

It reads one request a line and answers with one line. The work is timed here, by the thread's processor time, with
everything in memory, so that neither the pipe nor the interpreter's start counts.
"""

import base64
import hashlib
import html
import json
import re
import sys
import time
import tracemalloc
from datetime import datetime, timezone
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

DOMAIN = "archive.example.com"
MAILBOX = "mette.holm@example.com"
REQUEST_LIMIT = 4_000_000
MARKS = ((re.compile(r"\*(\S[^*\n]*)\*"), r"<b>\1</b>"), (re.compile(r"\b_(\S[^_\n]*)_\b"), r"<i>\1</i>"))
LINK = re.compile(r"https?://[^\s<]+")
TITLES = {"text": "Message", "image": "Picture", "voice": "Voice message", "video": "Video"}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def label(person):
    name, phone = person.get("name"), person.get("phone")
    return f"{name} ({phone})" if name and phone else name or phone or "Unknown"


def mailbox(person):
    if person.get("email"):
        return Address(label(person), addr_spec=person["email"])
    digits = re.sub(r"\D", "", person.get("phone", ""))
    return Address(label(person), username=digits, domain="whatsapp.invalid")


def identity(*fields):
    return sha256(b"".join(b"%d:%s" % (len(field), field) for field in (text.encode() for text in fields)))


def details(item, sent):
    return [
        ("Kind", TITLES.get(item["type"], item["type"])),
        ("From", label(item["from"])),
        ("To", ", ".join(label(person) for person in item["to"])),
        ("Chat", f"{item['chat'].get('name', '')} ({item['chat']['type']} chat, {item['chat']['id']})"),
        ("Sent", f"{sent:%Y-%m-%d %H:%M:%S} UTC"),
        ("Archived", item["archivedTime"]),
        ("Direction", item.get("direction", "")),
        ("WhatsApp id", item["messageId"]),
        ("Archive id", item["id"]),
    ]


def plain_text(item, files, rows):
    lines = [item.get("text", ""), "", f"[{TITLES.get(item['type'], item['type'])}]"]
    for name, facts, digest in files:
        lines += [f"File: {name} ({facts})", f"  SHA-256 {digest}"]
    lines += ["", "-" * 40] + [f"{key}: {value}" for key, value in rows]
    return "\n".join(lines) + "\n"


def html_text(item, files, rows):
    text = LINK.sub(lambda link: f'<a href="{link[0]}">{link[0]}</a>', html.escape(item.get("text", "")))
    for mark, tag in MARKS:
        text = mark.sub(tag, text)
    title = html.escape(TITLES.get(item["type"], item["type"]))
    parts = [
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{title}</title></head>\n',
        '<body style="font-family:sans-serif;font-size:15px">\n',
        f'<p><b>{html.escape(label(item["from"]))}</b></p>\n<div style="white-space:pre-wrap">{text}</div>\n',
    ]
    for name, facts, digest in files:
        parts.append(f"<p>{html.escape(name)} ({html.escape(facts)})<br>SHA-256 {digest}</p>\n")
    parts.append('<table style="font-size:12px">\n')
    parts += [f"<tr><td>{html.escape(key)}</td><td>{html.escape(value)}</td></tr>\n" for key, value in rows]
    parts.append("</table></body></html>\n")
    return "".join(parts)


def convert(task, item_json, contents):
    """From a task, the archive's answer and the attachments to S3's request and the import task."""
    task = json.loads(task)
    item = json.loads(item_json)
    if item["id"] != task["item"]:
        raise ValueError("another item")
    evidence = json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    digests, files = [], []
    for attachment, content in zip(item.get("attachments", []), contents, strict=True):
        digest = sha256(content)
        if attachment.get("sha256", digest) != digest:
            raise ValueError("another file")
        digests.append(digest)
        files.append((attachment["name"], f"{attachment['contentType']}, {len(content):,} bytes", digest))
    content_digest = sha256("".join(f"{digest}\n" for digest in [sha256(evidence), *digests]).encode())
    sent = datetime.fromisoformat(item["messageTime"].replace("Z", "+00:00")).astimezone(timezone.utc)
    message_id = f"<{identity(item['chat']['id'], item['from'].get('phone', ''), item['messageId'], 'message', '')}@{DOMAIN}>"
    root = identity(item["chat"]["id"], "", "", "chat", "")
    subject = f"WhatsApp: {item['chat'].get('name') or label(item['to'][0])}"

    message = EmailMessage(policy=SMTP)
    message["Date"] = format_datetime(sent)
    message["From"] = mailbox(item["from"])
    message["To"] = [mailbox(person) for person in item["to"]]
    message["Subject"] = subject
    message["Message-ID"] = message_id
    message["References"] = f"<{root}@{DOMAIN}>"
    message["Thread-Topic"] = subject
    message["Thread-Index"] = base64.b64encode(bytes.fromhex("01c96ba3e3ed" + root[:32])).decode()
    message["X-WA-Kind"] = item["type"]
    message["X-WA-Chat"] = item["chat"]["id"]
    message["X-WA-Message-Id"] = item["messageId"]
    message["X-WA-Content-SHA256"] = content_digest
    message["X-WA-Schema"] = "1"
    message["X-WA-Item"] = sha256(task["item"].encode())[:32]
    rows = details(item, sent)
    message.set_content(plain_text(item, files, rows), cte="quoted-printable")
    message.add_alternative(html_text(item, files, rows), subtype="html", cte="quoted-printable")
    for attachment, content in zip(item.get("attachments", []), contents):
        maintype, _, subtype = attachment["contentType"].partition(";")[0].partition("/")
        message.add_attachment(content, maintype=maintype, subtype=subtype, filename=attachment["name"])
    message.add_attachment(evidence, maintype="application", subtype="json", filename="whatsapp-item.json")
    body = message.as_bytes()
    digest = hashlib.sha256(body)
    key = sha256(task["item"].encode())[:32]
    return {
        "Key": f"mime/{key}.eml",
        "Body": body,
        "ChecksumSHA256": base64.b64encode(digest.digest()).decode(),
        "Task": json.dumps({
            "v": 1, "run": task["run"], "item": task["item"], "archived_time": task["archived_time"], "key": key,
            "mime": f"mime/{key}.eml",
            "sha256": digest.hexdigest(), "bytes": len(body), "message_id": message_id,
            "participants": [item["from"], *item["to"]],
        }, ensure_ascii=False),
    }


def file_json(part):
    content = part.get_payload(decode=True)
    return {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": part.get_filename() or "attachment",
        "contentType": part.get_content_type(),
        "contentBytes": base64.b64encode(content).decode(),
        "isInline": False,
    }


def recipient(address, mailboxes):
    shown = mailboxes.get(address.addr_spec.lower(), address.addr_spec)
    return {"emailAddress": {"name": address.display_name, "address": shown}}


def create(task, mime):
    """From a task and a stored message to the body of the request that creates it in a mailbox."""
    task = json.loads(task)
    if sha256(mime) != task["sha256"]:
        raise ValueError("another message")
    message = message_from_bytes(mime, policy=SMTP)
    shown = message.get_body(("html", "plain"))
    date = message["Date"].datetime.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    # As if the user map had all participants.
    mailboxes = {mailbox(person).addr_spec.lower(): MAILBOX for person in task["participants"]}
    sender = recipient(message["From"].addresses[0], mailboxes)
    properties = [
        ("Integer 0x0E07", "1"),
        ("SystemTime 0x0E06", date),
        ("SystemTime 0x0039", date),
        ("String {6f1d4c1e-9a53-4f0b-8e57-2b7f3c0a9d41} Name ArchiveItemId", task["item"]),
        ("String 0x001A", "IPM.ExternalData.WhatsAppArchiver"),
        ("String 0x1039", str(message["References"])),
        ("String 0x0070", str(message["Thread-Topic"])),
        ("Binary 0x0071", str(message["Thread-Index"])),
    ]
    request = {
        "subject": str(message["Subject"]),
        "body": {"contentType": shown.get_content_subtype(), "content": shown.get_content()},
        "from": sender,
        "sender": sender,
        "toRecipients": [recipient(address, mailboxes) for address in message["To"].addresses],
        "internetMessageId": task["message_id"],
        "isRead": True,
        "internetMessageHeaders": [
            {"name": name.lower(), "value": str(value)} for name, value in message.items() if name.lower().startswith("x-")
        ][:5],
        "singleValueExtendedProperties": [{"id": id, "value": value} for id, value in properties],
    }
    bare = json.dumps(request, ensure_ascii=False)
    left = REQUEST_LIMIT - len(bare.encode())
    files = []
    # What is too large travels by itself, as pieces of its bytes.
    pieces = []
    for part in message.iter_attachments():
        if len(part.get_payload()) <= left:
            files.append(file_json(part))
            left -= len(files[-1]["contentBytes"]) + 160
        else:
            pieces.append(part.get_payload(decode=True))
    return {"Body": json.dumps({**request, "attachments": files}, ensure_ascii=False).encode(), "Task": ""}


def read(path):
    with open(path, "rb") as file:
        return file.read()


def work(name, items):
    for item in items:
        if name == "convert":
            yield convert(item["convert_task"], item["item"], item["files"])
        else:
            yield create(item["import_task"], item["mime"])


def answer(request, items):
    match request["do"]:
        case "load":
            items[:] = [
                {
                    **item,
                    "item": read(item["item"]),
                    "files": [read(path) for path in item["files"]],
                    "mime": read(item["mime"]),
                }
                for item in request["items"]
            ]
            return {}
        case "run":
            begun = time.thread_time_ns()
            for _ in range(request["times"]):
                for _ in work(request["work"], items):
                    pass
            return {"nanoseconds": time.thread_time_ns() - begun}
        case "memory":
            tracemalloc.start()
            for _ in work(request["work"], items):
                pass
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return {"peak": peak}
        case "write":
            for index, result in enumerate(work(request["work"], items)):
                for end, content in (("out", result["Body"]), ("task.out", result["Task"].encode())):
                    with open(f"{request['directory']}/{index}.{end}", "wb") as file:
                        file.write(content)
            return {}


def main():
    items = []
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), items)), flush=True)


main()
