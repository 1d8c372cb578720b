// SPDX-License-Identifier: Apache-2.0
#include <espalier/experiments/settings/settings_json.h>

#include <nlohmann/json.hpp>

#include <espalier/experiments/settings/method_options.h>
#include <espalier/experiments/settings/train_settings.h>

namespace espalier::experiments {

nlohmann::ordered_json to_json(const std::vector<Option>& options, const OptionTexts& texts) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  for (const Option& option : options) {
    const std::string& text = texts.at(option.name);
    if (option.kind == OptionKind::Choice || option.kind == OptionKind::Text) {
      out[option.name] = text;
    } else if (text.empty()) {
      out[option.name] = nullptr;
    } else if (option.kind == OptionKind::Real) {
      out[option.name] = espalier::detail::real_of_text(text);
    } else if (option.kind == OptionKind::Integer) {
      out[option.name] = espalier::detail::integer_of_text(text);
    } else {
      out[option.name] = text == "true";
    }
  }
  return out;
}

nlohmann::ordered_json to_json(const prune::MethodChoice& choice) {
  return to_json(method_options(choice.method->name), choice.texts());
}

nlohmann::ordered_json default_train_json() {
  return to_json(train_table().options(), train_table().texts({}));
}

}  // namespace espalier::experiments
