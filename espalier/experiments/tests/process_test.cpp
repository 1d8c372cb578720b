// SPDX-License-Identifier: Apache-2.0
// The command as a process: how many threads it takes, and that it ends when memory does.
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "command_line.h"

namespace espalier::experiments {
namespace {

using Clock = std::chrono::steady_clock;
using espalier::testing::slurp;
using espalier::testing::TemporaryFolder;

constexpr int kHung = -1;

// Runs the command after `prepare`, what it prints in `out`. Its exit code; kHung after a minute.
int run_process(const std::vector<std::string>& arguments,
                const std::filesystem::path& out,
                const std::function<void()>& prepare) {
  std::vector<char*> argv = {const_cast<char*>(ESPALIER_COMMAND)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const int file = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(file, STDOUT_FILENO);
    ::dup2(file, STDERR_FILENO);
    prepare();
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  const auto deadline = Clock::now() + std::chrono::seconds(60);
  int status = 0;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (Clock::now() >= deadline) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      return kHung;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

TEST(Process, ThreadsAreThoseOfTheAffinityMask) {
  const TemporaryFolder folder;
  const auto one_processor = [] {
    cpu_set_t allowed;
    ::sched_getaffinity(0, sizeof allowed, &allowed);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int i = CPU_SETSIZE - 1; i >= 0; --i) {
      if (CPU_ISSET(i, &allowed) && CPU_COUNT(&one) == 0) CPU_SET(i, &one);
    }
    ::sched_setaffinity(0, sizeof one, &one);
  };
  ASSERT_EQ(run_process({"doctor"}, folder / "out", one_processor), 0);
  EXPECT_NE(slurp(folder / "out").find("threads    1\nhand-over  not measured"), std::string::npos)
      << slurp(folder / "out");
}

TEST(Process, AFileThatGrowsOverTheLimitIsAnErrorAndNoSignal) {
  const TemporaryFolder folder;
  const auto limit = [] {
    const rlimit size{20000, 20000};
    ::setrlimit(RLIMIT_FSIZE, &size);
  };
  const auto training = tiny_training(folder / "run", {"--epochs", "1"});
  EXPECT_EQ(run_process(training, folder / "out", limit), 1);
  const std::string out = slurp(folder / "out");
  EXPECT_NE(out.find("can't write"), std::string::npos) << out;
  EXPECT_NE(out.find("File too large"), std::string::npos) << out;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "run")) {
    EXPECT_EQ(entry.path().filename(), "run.json");
  }
}

TEST(Process, AThreadThatCannotBeStartedIsNamed) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers start threads of their own";
#endif
  const TemporaryFolder folder;
  const auto limit = [] {  // stacks of threads that no address space holds
    rlimit stack{};
    ::getrlimit(RLIMIT_STACK, &stack);
    stack.rlim_cur = rlim_t{100} << 40;
    ::setrlimit(RLIMIT_STACK, &stack);
  };
  EXPECT_EQ(run_process(tiny_training(folder / "run"), folder / "out", limit), 1);
  const std::string out = slurp(folder / "out");
  EXPECT_NE(out.find("can't start a thread"), std::string::npos) << out;
  EXPECT_NE(out.find("--workers 0"), std::string::npos) << out;
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
}

TEST(Process, EndsWhereverMemoryEnds) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers need all of the address space";
#endif
  const TemporaryFolder folder;
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"doctor"}, tiny_training(folder / "run", {"--epochs", "1"})}) {
    for (const uint64_t megabytes : {120, 150, 180, 220, 260}) {
      SCOPED_TRACE(arguments[0] + " with " + std::to_string(megabytes) + " MB");
      const auto limit = [megabytes] {
        const rlimit memory{megabytes << 20, megabytes << 20};
        ::setrlimit(RLIMIT_AS, &memory);
      };
      const int code = run_process(arguments, folder / "out", limit);
      EXPECT_NE(code, kHung);
      // Done, out of memory, or too little to load the libraries.
      EXPECT_TRUE(code == 0 || code == 1 || code == 127) << code << ": " << slurp(folder / "out");
    }
  }
}

}  // namespace
}  // namespace espalier::experiments
