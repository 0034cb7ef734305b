// Reads messages with a parser of Node.js: `mailparser` or `postal-mime`. The same lines of JSON as read.py, of what the
// parser reports.
import { createHash } from "node:crypto";
import { createInterface } from "node:readline";

const person = ({ name, address }) => [name ?? "", address];
// The fields of these names that the message has.
const some = (names, value) => Object.fromEntries(names.map((name) => [name, value(name)]).filter(([, found]) => found));
const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

const parsers = {
  mailparser: async () => {
    const { simpleParser } = await import("mailparser");
    const { default: libmime } = await import("libmime");
    return async (mime, fields) => {
      // The parser links pictures into the page, and makes pages of texts, unless it is told not to.
      const mail = await simpleParser(mime, { skipImageLinks: true, skipTextToHtml: true, skipHtmlToText: true });
      return {
        date: mail.date.toISOString().replace(".000Z", "+00:00"),
        from: mail.from.value.map(person),
        to: (mail.to?.value ?? []).map(person),
        subject: mail.subject,
        message_id: mail.messageId,
        fields: some(fields, (name) => libmime.decodeWords([mail.headers.get(name.toLowerCase()) ?? ""].flat().join(" "))),
        plain: mail.text,
        html: mail.html,
        files: mail.attachments.map((file) => ({
          name: file.filename,
          type: file.headers.get("content-type").value,
          sha256: digest(file.content),
          cid: file.cid ?? null,
        })),
      };
    };
  },
  "postal-mime": async () => {
    const { default: PostalMime, decodeWords } = await import("postal-mime");
    return async (mime, fields) => {
      const mail = await PostalMime.parse(mime, { attachmentEncoding: "arraybuffer" });
      return {
        date: new Date(mail.date).toISOString().replace(".000Z", "+00:00"),
        from: [person(mail.from)],
        to: (mail.to ?? []).map(person),
        subject: mail.subject,
        message_id: mail.messageId,
        fields: some(fields, (name) => {
          const found = mail.headers.find((header) => header.key === name.toLowerCase());
          return found && decodeWords(found.value);
        }),
        plain: mail.text,
        html: mail.html,
        files: mail.attachments.map((file) => ({
          name: file.filename,
          type: file.mimeType,
          sha256: digest(new Uint8Array(file.content)),
          cid: file.contentId?.replace(/^<|>$/g, "") ?? null,
        })),
      };
    };
  },
};

const read = await parsers[process.argv[2]]();
for await (const line of createInterface({ input: process.stdin })) {
  const { mime, fields } = JSON.parse(line);
  console.log(JSON.stringify(await read(Buffer.from(mime, "base64"), fields)));
}
