// Prints what Google's CSP Evaluator finds in each policy given, as JSON.
import { CspEvaluator } from "csp_evaluator/dist/evaluator.js";
import { CspParser } from "csp_evaluator/dist/parser.js";

const evaluate = (policy) => new CspEvaluator(new CspParser(policy).csp).evaluate();
console.log(JSON.stringify(process.argv.slice(2).map(evaluate)));
