import i18next from "i18next";

const answer = async (request) => {
const i18n = i18next.createInstance();
  await i18n.init({ lng: "en", resources: { en: { translation: { hi: "Hi {{name}}", thing_one: "{{count}} thing", thing_other: "{{count}} things", sum: "{{value, number}}" } } } });
  return [i18n.t("hi", { name: "<K>" }), i18n.t("thing", { count: 1 }), i18n.t("thing", { count: 5 }), i18n.t("sum", { value: 1234.5 }), i18n.t("none")];
};
export default { fetch: async (request) => Response.json(await answer(request)) };
