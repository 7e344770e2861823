// The same service in Fastify: @fastify/helmet, @fastify/cors, @fastify/rate-limit and pino.
"use strict";

const { randomUUID } = require("node:crypto");
const Fastify = require("fastify");
const pino = require("pino");

const settings = JSON.parse(process.env.BENCH_SETTINGS);
const app = Fastify({
  loggerInstance: pino(pino.destination(settings.log)),
  // its own two lines per request do not say path and status in one
  logController: new Fastify.LogController({ disableRequestLogging: true }),
  genReqId: (request) => request.headers["x-request-id"] || randomUUID(),
  trustProxy: "127.0.0.1",
});

app.addHook("onRequest", (request, reply, done) => {
  reply.header("X-Request-ID", request.id);
  done();
});
app.addHook("onResponse", (request, reply, done) => {
  request.log.info({
    method: request.method,
    path: request.url,
    status: reply.statusCode,
    duration_ms: reply.elapsedTime,
    remote_addr: request.ip,
    user_agent: request.headers["user-agent"],
  });
  done();
});

async function start() {
  await app.register(require("@fastify/helmet"));
  await app.register(require("@fastify/cors"), {
    origin: [process.env.BENCH_ORIGIN],
    credentials: true,
  });
  for (const limit of settings.limits.split(";")) {
    const [amount, , unit] = limit.trim().split(" ");
    await app.register(require("@fastify/rate-limit"), {
      max: Number(amount),
      timeWindow: `1 ${unit}`,
      cache: 100_000, // clients; by default it forgets all but 5,000
    });
  }
  app.get("/api/ping", async () => ({ message: "pong" }));
  await app.listen({ port: Number(process.argv[2]), host: "127.0.0.1" });
}

start();
