// SQS on a free port of this machine. Says where on standard output, and ends when standard input is closed: with the
// test that started it, however that ends.
import { createSqsServer } from "local-aws-sqs";

const server = await createSqsServer({ port: 0, hostname: "127.0.0.1", accountId: "000000000000" });
console.log(`http://127.0.0.1:${server.address().port}`);
process.stdin.resume().on("end", () => process.exit(0));
