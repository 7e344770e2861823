// Prints what the MDN HTTP Observatory says about each host/path given, as JSON.
import { scan } from "@mdn/mdn-http-observatory";

const results = {};
for (const target of process.argv.slice(2)) {
  const { scan: summary, tests } = await scan(target);
  const lost = Object.values(tests).filter((test) => !test.pass || test.scoreModifier < 0);
  results[target] = { score: summary.score, lost: lost.map((test) => test.result) };
}
console.log(JSON.stringify(results));
