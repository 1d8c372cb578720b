// SPDX-License-Identifier: Apache-2.0
/// A program that answers requests: one line in, one number out.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace espalier::experiments::peers {

/// Runs a program with its standard input and output tied to us; ends it when destroyed.
class Child {
 public:
  /// `environment` is set on top of ours. Throws IoError when the program cannot be started.
  Child(const std::vector<std::string>& command,
        const std::vector<std::pair<std::string, std::string>>& environment = {});
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  /// Sends a line and waits for the number that the program prints. Throws IoError naming the
  /// program when it ends or prints something else.
  double ask(const std::string& line);

 private:
  std::string name_;
  int pid_ = -1;
  int to_ = -1;
  int from_ = -1;
};

}  // namespace espalier::experiments::peers
