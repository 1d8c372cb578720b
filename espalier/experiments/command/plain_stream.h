// SPDX-License-Identifier: Apache-2.0
/// The last thing before a terminal: what names of files, classes or runs could command it to do is
/// spelt out instead.
#pragma once

#include <ostream>
#include <streambuf>
#include <string>

namespace espalier::experiments {

/// A stream that passes `detail::printable` of all that is written to it on to another one.
class PlainStream : public std::ostream {
 public:
  explicit PlainStream(std::ostream& to);
  ~PlainStream() override;

 private:
  class Buffer : public std::streambuf {
   public:
    explicit Buffer(std::ostream& to) : to_(to) {}

   protected:
    int_type overflow(int_type byte) override;
    std::streamsize xsputn(const char* text, std::streamsize count) override;
    int sync() override;

   private:
    bool pass(size_t count);

    std::ostream& to_;
    std::string held_;  ///< the start of a character whose rest has not come yet
  };

  Buffer buffer_;
};

}  // namespace espalier::experiments
