// SPDX-License-Identifier: Apache-2.0
#include <espalier/nn/train/hooks/csv_log.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include <espalier/core/io.h>
#include <espalier/nn/train/detail/text_tensor.h>

namespace espalier::nn {
namespace {

constexpr const char* kText = "text";

std::string shortest(double value) {
  char digits[32];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

}  // namespace

CsvLog::CsvLog(std::filesystem::path file, std::vector<Watched> columns)
    : file_(std::move(file)), columns_(std::move(columns)) {
  ESPALIER_CHECK(!file_.empty(), ValueError, "CsvLog: expects the name of a file");
  std::vector<std::string> names = {"epoch", "step", "lr", "loss", "accuracy"};
  for (const Watched& column : columns_) {
    ESPALIER_CHECK(column.name.find_first_of(",\"\r\n") == std::string::npos,
                   ValueError,
                   "CsvLog: the name of a column has a comma, a quote or a line end: ",
                   column.name);
    ESPALIER_CHECK(std::ranges::find(names, column.name) == names.end(),
                   ValueError,
                   "CsvLog: there are two columns '",
                   column.name,
                   "'; give one of them another name (Watched::name)");
    names.push_back(column.name);
  }
  for (const std::string& name : names) text_ += (text_.empty() ? "" : ",") + name;
  text_ += "\n";
}

void CsvLog::before_training(TrainState&) {
  write_file(file_, text_);
}

void CsvLog::end_of_epoch(TrainState& state) {
  text_ += cat(state.epoch + 1,
               ",",
               state.step + state.progress.repeated,
               ",",
               shortest(state.optimizer.lr()),
               ",",
               shortest(state.loss),
               ",",
               shortest(state.accuracy));
  for (const Watched& column : columns_) text_ += "," + shortest(column.value(state));
  text_ += "\n";
  write_file(file_, text_);
}

std::map<std::string, Tensor> CsvLog::state() const {
  return {{kText, detail::text_tensor(text_)}};
}

void CsvLog::load_state(const std::map<std::string, Tensor>& state) {
  ESPALIER_CHECK(
      state.contains(kText), ValueError, "CsvLog: the state has no 'text'; is it of another hook?");
  std::string text = detail::text_of(state.at(kText));
  const std::string head = text_.substr(0, text_.find('\n'));
  ESPALIER_CHECK(text.starts_with(head + "\n"),
                 ValueError,
                 "CsvLog: the state has other columns, ",
                 text.substr(0, text.find('\n')),
                 " instead of ",
                 head);
  text_ = std::move(text);
  write_file(file_, text_);
}

}  // namespace espalier::nn
