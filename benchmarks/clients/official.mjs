// The official Node client. Arguments: the folder where it is installed.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

const require = createRequire(`${process.argv[2]}/`);
const { KurrentDBClient, ANY, START, streamNameFilter } = require("@kurrent/kurrentdb-client");
const { randomUUID } = require("node:crypto");

const WARM_UP = "bench-200-packed-100";

function newEvents(count, size) {
  const data = Buffer.from("0123456789abcdef".repeat(size / 16 + 1)).subarray(0, size);
  const one = () => ({
    id: randomUUID(), type: "OrderCreated", contentType: "application/octet-stream", data, metadata: Buffer.from("{}"),
  });
  return Array.from({ length: count }, one);
}

function expect(found, count) {
  if (found !== count) throw new Error(`${found} instead of ${count}`);
}

async function measured(meter, units, work) {
  meter.units = units;
  globalThis.gc?.();
  const cpu = process.cpuUsage();
  const wall = process.hrtime.bigint();
  await work();
  meter.seconds = Number(process.hrtime.bigint() - wall) / 1e9;
  const used = process.cpuUsage(cpu);
  meter.cpu = (used.user + used.system) / 1e6;
}

let kept;

async function consume(events, count) {
  let found = 0;
  for await (const { event } of events) {
    kept = [event.id, event.type, event.data, event.metadata, event.position, event.created];
    if (++found === count) break;
  }
  expect(found, count);
}

const kinds = {
  read: (client, job, meter) => measured(meter, job.count, () => consume(client.readStream(job.stream), job.count)),

  read_many: (client, job, meter) =>
    measured(meter, job.count * job.parallel, () =>
      Promise.all(Array.from({ length: job.parallel }, () => consume(client.readStream(job.stream), job.count)))),

  links: (client, job, meter) =>
    measured(meter, job.count, () => consume(client.readStream(job.stream, { resolveLinkTos: true }), job.count)),

  read_all: (client, job, meter) =>
    measured(meter, job.count, () =>
      consume(client.readAll({ filter: streamNameFilter({ prefixes: [job.stream] }) }), job.count)),

  subscribe: (client, job, meter) =>
    measured(meter, job.count, async () => {
      const events = client.subscribeToStream(job.stream, { fromRevision: START });
      await consume(events, job.count);
      await events.unsubscribe();
    }),

  consume: (client, job, meter) =>
    measured(meter, job.count * job.parallel, () =>
      Promise.all(Array.from({ length: job.parallel }, async () => {
        const options = { bufferSize: job.count };
        const events = client.subscribeToPersistentSubscriptionToStream(job.stream, "g", options);
        let found = 0;
        for await (const { event } of events) {
          kept = [event.id, event.type, event.data, event.metadata, event.position, event.created];
          await events.ack({ event });
          if (++found === job.count) break;
        }
        await events.unsubscribe();
        expect(found, job.count);
      }))),

  append: async (client, job, meter) => {
    const batches = Array.from({ length: job.parallel }, () =>
      Array.from({ length: job.count }, () => newEvents(job.per_call, job.size)));
    const oneAfterAnother = async (calls, number) => {
      for (const events of calls) {
        await client.appendToStream(`${job.stream}-${number}`, events, { streamState: ANY });
      }
    };
    await measured(meter, job.count * job.parallel, () => Promise.all(batches.map(oneAfterAnother)));
  },
};

async function perform(job) {
  const options = job.certificate ? `tlsCaFile=${job.certificate}` : "tls=false";
  const client = KurrentDBClient.connectionString(`kurrentdb://${job.address}?${options}`);
  const meter = {};
  try {
    for await (const _ of client.readStream(WARM_UP));
    await client.appendToStream("bench-warm-up", newEvents(3, 200), { streamState: ANY });
    await kinds[job.kind](client, job, meter);
  } finally {
    await client.dispose();
  }
  return meter;
}

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = await perform(JSON.parse(line));
  } catch (error) {
    console.error(error);
    answer = { error: `${error.name}: ${error.message}`.slice(0, 300) };
  }
  console.log(JSON.stringify(answer));
}
process.exit(0);
