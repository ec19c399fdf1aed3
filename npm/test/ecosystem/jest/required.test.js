const { Warmline, RateLimitError } = require("warmline");
const { scriptedFetch } = require("warmline/testing");

test("a call of the simulator", async () => {
  const llm = new Warmline({ provider: "openai", apiKey: "k", baseUrl: `${process.env.SIM}/v1` });
  const { text } = await llm.chat({ model: "m?tokens=2", messages: [{ role: "user", content: "Hello" }] });
  expect(text).toBe("warm connections ");
});

test("an error of a class that was required", async () => {
  const llm = new Warmline({ provider: "openai", apiKey: "k", model: "m", maxRetries: 0, fetch: scriptedFetch([{ status: 429 }]) });
  await expect(llm.chat("Hello")).rejects.toThrow(RateLimitError);
});
