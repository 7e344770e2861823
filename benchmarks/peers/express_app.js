// The same service as its Express tutorials build it: helmet, cors, express-rate-limit, pino-http.
"use strict";

const { randomUUID } = require("node:crypto");
const cors = require("cors");
const express = require("express");
const { rateLimit } = require("express-rate-limit");
const helmet = require("helmet");
const pino = require("pino");
const pinoHttp = require("pino-http");

const settings = JSON.parse(process.env.BENCH_SETTINGS);
const seconds = { hour: 3600, day: 86400 };
const app = express();

app.set("trust proxy", 1);
app.use(
  pinoHttp(
    {
      genReqId(request, response) {
        const id = request.headers["x-request-id"] || randomUUID();
        response.setHeader("X-Request-ID", id);
        return id;
      },
    },
    pino.destination(settings.log),
  ),
);
app.use(helmet());
app.use(cors({ origin: [process.env.BENCH_ORIGIN], credentials: true }));
for (const limit of settings.limits.split(";")) {
  const [amount, , unit] = limit.trim().split(" ");
  app.use(rateLimit({ limit: Number(amount), windowMs: seconds[unit] * 1000 }));
}
app.get("/api/ping", (request, response) => response.json({ message: "pong" }));
app.listen(Number(process.argv[2]), "127.0.0.1");
