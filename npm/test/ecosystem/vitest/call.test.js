import { Warmline } from "warmline";
import { scriptedFetch } from "warmline/testing";
import { expect, test } from "vitest";

test("a call of the simulator, and one that is scripted", async () => {
  const llm = new Warmline({ provider: "openai", apiKey: "k", baseUrl: `${process.env.SIM}/v1` });
  const { text } = await llm.chat({ model: "m?tokens=2", messages: [{ role: "user", content: "Hello" }] });
  expect(text).toBe("warm connections ");
  const scripted = new Warmline({ provider: "openai", apiKey: "k", model: "m", fetch: scriptedFetch(["Hello"]) });
  expect((await scripted.chat("Hi")).text).toBe("Hello");
});
