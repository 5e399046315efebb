// Checks proofs beside the page, so that it stays responsive: runs ktaudit's own checker, Go
// compiled to WebAssembly. The first message says where wasm_exec.js (Go's own glue) and the checker
// are; each later one is a question, {proof} or {batch}, and is answered with {report} or {error}.
'use strict';

let ready;

async function start({ exec, wasm }) {
  importScripts(exec);
  const answer = await fetch(wasm);
  if (!answer.ok) throw new Error(`the server answers ${answer.status} for the checker`);
  const go = new Go();
  const { instance } = await WebAssembly.instantiate(await unpacked(await answer.arrayBuffer()), go.importObject);
  return new Promise((done, fail) => {
    self.ktauditReady = () => done(); // which Go calls
    go.run(instance).then(() => fail(new Error('the checker ended')), fail);
  });
}

/** unpacked undoes gzip, unless the server or the browser already did. */
async function unpacked(bytes) {
  const head = new Uint8Array(bytes, 0, 2);
  if (head[0] !== 0x1f || head[1] !== 0x8b) return bytes;
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
}

self.onmessage = async ({ data }) => {
  if (data.wasm) {
    ready = start(data);
    ready.catch(() => {}); // told of with the answer
    return;
  }
  try {
    await ready;
    // The answer of Go is JSON: text crosses the border between the two more simply than objects.
    self.postMessage({ report: JSON.parse(await self.ktauditCheck(data)) });
  } catch (e) {
    self.postMessage({ error: e.message ?? String(e) });
  }
};
