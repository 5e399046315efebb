// Checks Kubernetes objects as an API server would: reads them as a JSON array from standard input and prints each problem.
// What the packages' validators leave alone, fields that there are not, is found by seeing which fields they never look at.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const packages = process.argv[2]; // the folder node_modules
const others = { "keda.sh": "@kubernetes-models/keda", "monitoring.coreos.com": "@kubernetes-models/prometheus-operator" };

for (const object of JSON.parse(readFileSync(0))) {
  const problems = await check(object);
  for (const problem of problems) console.log(`${object.kind} ${object.metadata?.name}: ${problem}`);
}

async function check(object) {
  let model;
  try {
    model = await modelOf(object);
  } catch (error) {
    return [`there is no ${object.kind} in ${object.apiVersion}: ${error.code}`];
  }
  const unseen = new Set();
  const watched = watch(object, "", unseen);
  try {
    model.prototype.validate.call(watched);
  } catch (error) {
    return [error.message];
  }
  // Of what nobody has looked at, nobody has looked at the inside.
  return [...unseen].filter((path) => !unseen.has(path.slice(0, path.lastIndexOf(".")))).map((path) => `unknown field ${path}`);
}

async function modelOf({ apiVersion, kind }) {
  const name = others[apiVersion.split("/")[0]] ?? "kubernetes-models";
  return (await import(pathToFileURL(`${packages}/${name}/${apiVersion}/${kind}.js`).href))[kind];
}

// watch returns the value, and keeps the paths of what nobody has read of it in unseen.
function watch(value, path, unseen) {
  if (value === null || typeof value !== "object") return value;
  const inner = Array.isArray(value) ? [] : {};
  for (const [key, v] of Object.entries(value)) {
    const at = `${path}.${key}`;
    inner[key] = watch(v, at, unseen);
    unseen.add(at);
  }
  return new Proxy(inner, {
    get(target, key, receiver) {
      unseen.delete(`${path}.${String(key)}`);
      return Reflect.get(target, key, receiver);
    },
  });
}
