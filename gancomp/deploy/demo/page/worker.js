// One network in a thread of its own, on WebGPU where the browser has it, else on WebAssembly.

let session, ort, shape, file;

async function open(message) {
  ({file, shape} = message);
  const gpu = message.gpu && await hardware();
  try {
    await start(gpu ? "webgpu" : "wasm", message.threads);
  } catch (error) {
    if (!gpu) throw error;
    await start("wasm", message.threads); // an adapter that cannot run the network
  }
}

/** Whether there is a GPU; one that software pretends is slower than WebAssembly. */
async function hardware() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return Boolean(adapter && !adapter.info?.isFallbackAdapter && !/swiftshader|llvmpipe/i.test(adapter.info?.architecture + adapter.info?.description));
}

async function start(provider, threads) {
  ort = await import(provider === "webgpu" ? "./ort/ort.webgpu.min.mjs" : "./ort/ort.wasm.min.mjs");
  ort.env.wasm.wasmPaths = new URL("./ort/", self.location.href).href;
  ort.env.wasm.numThreads = self.crossOriginIsolated ? threads : 1;
  ort.env.logLevel = "error";
  session = await ort.InferenceSession.create(file, {executionProviders: [provider]});
  // Noise, not zeros: a first run compiles, and an even picture is what normalisation handles worst.
  await run(Float32Array.from({length: shape.reduce((a, b) => a * b)}, () => Math.random() * 2 - 1));
  postMessage({type: "ready", provider, threads: provider === "wasm" ? ort.env.wasm.numThreads : 0});
}

async function run(input) {
  const begin = performance.now();
  const result = await session.run({[session.inputNames[0]]: new ort.Tensor("float32", input, shape)});
  const picture = await result[session.outputNames[0]].getData();
  return {picture, milliseconds: performance.now() - begin};
}

/** Gray, gray and alpha, colours, or colours and alpha (1 to 4, h, w) in [-1, 1] → red, green, blue, alpha. */
function coloured(picture) {
  const count = shape[2] * shape[3], channels = picture.length / count, out = new Uint8ClampedArray(4 * count);
  const at = (channel, i) => Math.round((picture[channel * count + i] + 1) * 127.5);
  for (let i = 0; i < count; i++) {
    for (let channel = 0; channel < 3; channel++) out[4 * i + channel] = at(channels > 2 ? channel : 0, i);
    out[4 * i + 3] = channels % 2 ? 255 : at(channels - 1, i);
  }
  return out;
}

onmessage = async ({data}) => {
  try {
    if (data.type === "open") await open(data);
    else if (data.type === "measure") {
      const times = [];
      for (let i = 0; i < data.runs; i++) times.push((await run(data.input)).milliseconds);
      postMessage({type: "measured", median: times.sort((a, b) => a - b)[times.length >> 1]});
    } else {
      const {picture, milliseconds} = await run(data.input);
      const pixels = coloured(picture);
      postMessage({type: "picture", frame: data.frame, milliseconds, pixels}, [pixels.buffer]);
    }
  } catch (error) {
    postMessage({type: "error", message: String(error?.message ?? error)});
  }
};
