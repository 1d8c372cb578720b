// SPDX-License-Identifier: Apache-2.0
#include <espalier/data/detail/pickle.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <map>
#include <utility>

#include <espalier/core/detail/printable.h>
#include <espalier/core/error.h>
#include <espalier/data/detail/pickle_source.h>

namespace espalier::data::detail {

using Kind = PickleNode::Kind;

// The machine that a pickle is a program of: a stack, marks in it, and a memo.
class Unpickler {
 public:
  Unpickler(Pickle& out, const PickleLimits& limits)
      : out_(out), limits_(limits), source_(out.bytes_, out.where_) {}

  const PickleNode* run() {
    for (;;) {
      const uint8_t code = source_.byte();
      if (code == '.') break;
      if (!numbers(code) && !texts(code) && !containers(code) && !memo(code) && !names(code)) {
        source_.fail(cat("has the opcode ", int{code}, ", which is not read"));
      }
    }
    const PickleNode* result = pop();
    if (!stack_.empty() || !marks_.empty()) source_.fail("ends with more than one value");
    if (!source_.ended()) source_.fail("goes on behind its end");
    return result;
  }

 private:
  PickleNode& make(Kind kind) {
    if (static_cast<int64_t>(out_.nodes_.size()) >= limits_.nodes) {
      source_.fail(cat("has more than ", limits_.nodes, " values"));
    }
    PickleNode& node = out_.nodes_.emplace_back();
    node.kind = kind;
    return node;
  }
  PickleNode& push(Kind kind) {
    PickleNode& node = make(kind);
    stack_.push_back(&node);
    return node;
  }
  void push_int(int64_t value) { push(Kind::Int).whole = value; }
  void push_text(Kind kind, std::string_view text) { push(kind).text = text; }
  std::string_view keep(std::string text) { return out_.texts_.emplace_back(std::move(text)); }

  // Nothing below the newest mark can be taken.
  PickleNode* pop() {
    const size_t floor = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() <= floor) source_.fail("takes a value where none is");
    PickleNode* node = stack_.back();
    stack_.pop_back();
    return node;
  }
  PickleNode* top() {
    PickleNode* node = pop();
    stack_.push_back(node);
    return node;
  }
  std::vector<const PickleNode*> pop_to_mark() {
    if (marks_.empty()) source_.fail("has no mark where one is needed");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<const PickleNode*> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return items;
  }

  // Two's complement, least byte first.
  void push_long(uint64_t size) {
    if (size > 8) source_.fail(cat("has a whole number of ", size, " bytes, expected 8 at most"));
    const uint64_t value = source_.little(static_cast<int>(size));
    const auto unused = static_cast<unsigned>(64 - 8 * size);
    push_int(size == 0 ? 0 : static_cast<int64_t>(value << unused) >> unused);
  }

  bool numbers(uint8_t code) {
    switch (code) {
      case 'N':
        push(Kind::None);
        return true;
      case 0x88:
      case 0x89:
        push(Kind::Bool).whole = code == 0x88;
        return true;
      case 'I': {
        const std::string_view text = source_.line();
        if (text == "00" || text == "01") {
          push(Kind::Bool).whole = text == "01";
        } else {
          push_int(source_.integer(text));
        }
        return true;
      }
      case 'L': {
        std::string_view text = source_.line();
        if (text.ends_with('L')) text.remove_suffix(1);
        push_int(source_.integer(text));
        return true;
      }
      case 'J':
        push_int(static_cast<int32_t>(source_.little(4)));
        return true;
      case 'K':
        push_int(source_.byte());
        return true;
      case 'M':
        push_int(static_cast<int64_t>(source_.little(2)));
        return true;
      case 0x8a:
        push_long(source_.byte());
        return true;
      case 0x8b:
        push_long(source_.little(4));
        return true;
      case 'F': {
        const std::string_view text = source_.line();
        double value = 0.0;
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc() || end != text.data() + text.size())
          source_.fail("has no number in F");
        push(Kind::Float).real = value;
        return true;
      }
      case 'G': {
        uint64_t bits = 0;
        for (const char c : source_.take(8)) bits = bits << 8U | static_cast<uint8_t>(c);
        push(Kind::Float).real = std::bit_cast<double>(bits);
        return true;
      }
      default:
        return false;
    }
  }

  bool texts(uint8_t code) {
    switch (code) {
      case 'S':
        push_text(Kind::Text, keep(source_.unquoted(source_.line())));
        return true;
      case 'V':
        push_text(Kind::Text, keep(source_.raw_unicode(source_.line())));
        return true;
      case 'U':
      case 0x8c:
        push_text(Kind::Text, source_.take(source_.byte()));
        return true;
      case 'T':
      case 'X':
        push_text(Kind::Text, source_.take(source_.little(4)));
        return true;
      case 0x8d:
        push_text(Kind::Text, source_.take(source_.little(8)));
        return true;
      case 'C':
        push_text(Kind::Bytes, source_.take(source_.byte()));
        return true;
      case 'B':
        push_text(Kind::Bytes, source_.take(source_.little(4)));
        return true;
      case 0x8e:
      case 0x96:
        push_text(Kind::Bytes, source_.take(source_.little(8)));
        return true;
      default:
        return false;
    }
  }

  void push_tuple(size_t size) {
    std::vector<const PickleNode*> items(size);
    for (size_t i = size; i-- > 0;) items[i] = pop();
    push(Kind::Tuple).items = std::move(items);
  }
  void add_to_list(const std::vector<const PickleNode*>& items) {
    PickleNode* list = top();
    if (list->kind != Kind::List) source_.fail(cat("appends to ", name(list->kind)));
    list->items.insert(list->items.end(), items.begin(), items.end());
  }
  void add_to_dict(const std::vector<const PickleNode*>& items) {
    PickleNode* dict = top();
    if (dict->kind != Kind::Dict && dict->kind != Kind::Call) {
      source_.fail(cat("sets keys of ", name(dict->kind)));
    }
    if (items.size() % 2 != 0) source_.fail("has a key without a value");
    dict->items.insert(dict->items.end(), items.begin(), items.end());
  }

  bool containers(uint8_t code) {
    switch (code) {
      case '(':
        if (static_cast<int64_t>(marks_.size()) >= limits_.nodes)
          source_.fail("has too many marks");
        marks_.push_back(stack_.size());
        return true;
      case ']':
        push(Kind::List);
        return true;
      case 'l':
      case 't': {
        auto items = pop_to_mark();
        push(code == 'l' ? Kind::List : Kind::Tuple).items = std::move(items);
        return true;
      }
      case ')':
        push(Kind::Tuple);
        return true;
      case 0x85:
      case 0x86:
      case 0x87:
        push_tuple(static_cast<size_t>(code) - 0x84U);
        return true;
      case '}':
        push(Kind::Dict);
        return true;
      case 'd': {
        const auto items = pop_to_mark();
        push(Kind::Dict);
        add_to_dict(items);
        return true;
      }
      case 'a': {
        const PickleNode* item = pop();
        add_to_list({item});
        return true;
      }
      case 'e':
        add_to_list(pop_to_mark());
        return true;
      case 's': {
        const PickleNode* value = pop();
        const PickleNode* key = pop();
        add_to_dict({key, value});
        return true;
      }
      case 'u':
        add_to_dict(pop_to_mark());
        return true;
      default:
        return false;
    }
  }

  void put(uint64_t key) { memo_[key] = top(); }
  void get(uint64_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) source_.fail(cat("recalls value ", key, ", which it has not kept"));
    check_room();
    stack_.push_back(found->second);
  }
  // Opcodes of a byte that make no node make the stack longer all the same.
  void check_room() {
    if (static_cast<int64_t>(stack_.size()) >= limits_.nodes) {
      source_.fail(cat("has more than ", limits_.nodes, " values at once"));
    }
  }

  bool memo(uint8_t code) {
    switch (code) {
      case 'p':
        put(static_cast<uint64_t>(source_.integer(source_.line())));
        return true;
      case 'q':
        put(source_.byte());
        return true;
      case 'r':
        put(source_.little(4));
        return true;
      case 0x94:
        put(memo_.size());
        return true;
      case 'g':
        get(static_cast<uint64_t>(source_.integer(source_.line())));
        return true;
      case 'h':
        get(source_.byte());
        return true;
      case 'j':
        get(source_.little(4));
        return true;
      case '0':
        pop();
        return true;
      case '1':
        pop_to_mark();
        return true;
      case '2':
        check_room();
        stack_.push_back(top());
        return true;
      case 0x80:
        if (const uint8_t protocol = source_.byte(); protocol > 5) {
          source_.fail(cat("is of protocol ", int{protocol}, ", expected 0 to 5"));
        }
        return true;
      case 0x95:
        source_.little(8);  // how long the frame is; nothing depends on it
        return true;
      default:
        return false;
    }
  }

  void push_global(const std::string& full) {
    const auto& globals = limits_.globals;
    if (std::find(globals.begin(), globals.end(), full) == globals.end()) {
      source_.fail(cat("names ",
                       espalier::detail::printable_line(full),
                       ", which is not among what this reader knows; nothing is run"));
    }
    push_text(Kind::Global, keep(full));
  }
  void call() {
    const PickleNode* args = pop();
    const PickleNode* callee = pop();
    if (callee->kind != Kind::Global || args->kind != Kind::Tuple) {
      source_.fail(cat("calls ", name(callee->kind), " with ", name(args->kind)));
    }
    PickleNode& node = push(Kind::Call);
    node.text = callee->text;
    node.args = args;
  }

  bool names(uint8_t code) {
    switch (code) {
      case 'c': {
        const std::string module(source_.line());
        push_global(cat(module, ".", source_.line()));
        return true;
      }
      case 0x93: {
        const PickleNode* last = pop();
        const PickleNode* module = pop();
        if (last->kind != Kind::Text || module->kind != Kind::Text)
          source_.fail("has a name that is no text");
        push_global(cat(module->text, ".", last->text));
        return true;
      }
      case 'R':
      case 0x81:
        call();
        return true;
      case 'b': {
        const PickleNode* state = pop();
        PickleNode* object = top();
        if (object->kind != Kind::Call) source_.fail(cat("sets the state of ", name(object->kind)));
        object->state = state;
        return true;
      }
      case 'Q': {
        if (!limits_.persistent) source_.fail("refers to something outside of it");
        const PickleNode* id = pop();
        push(Kind::Persistent).args = id;
        return true;
      }
      default:
        return false;
    }
  }

  Pickle& out_;
  const PickleLimits& limits_;
  PickleSource source_;
  std::vector<PickleNode*> stack_;
  std::vector<size_t> marks_;  // sizes of the stack
  std::map<uint64_t, PickleNode*> memo_;
};

Pickle::Pickle(std::vector<uint8_t> bytes, std::string where, const PickleLimits& limits)
    : bytes_(std::move(bytes)), where_(std::move(where)) {
  root_ = Unpickler(*this, limits).run();
}

void Pickle::fail(const std::string& text) const {
  throw IoError(cat(where_, ": ", text));
}

const PickleNode& Pickle::at(const PickleNode& node, std::string_view key, Kind kind) const {
  const PickleNode* value = node.find(key);
  if (value == nullptr) fail(cat("expected ", name(kind), " under '", key, "', found nothing"));
  if (value->kind != kind) {
    fail(cat("expected ", name(kind), " under '", key, "', got ", name(value->kind)));
  }
  return *value;
}

}  // namespace espalier::data::detail
