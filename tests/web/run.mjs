// node tests/web/run.mjs SCENARIO
import { House } from "./house.mjs";

const scenario = await import(`./${process.argv[2]}.mjs`);
const house = await House.open(scenario.plan ?? {});
try {
  await scenario.default(house);
  house.untouched();
} catch (error) {
  console.error(house.log);
  const shot = process.env.HERMA_TEST_SHOT;
  if (shot) await house.page.screenshot({ path: shot, fullPage: true }).catch(() => {});
  console.error((await house.page.locator("body").innerText().catch(() => "no page")).slice(0, 3000));
  throw error;
} finally {
  await house.close();
}
