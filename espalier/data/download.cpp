// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <system_error>
#include <thread>

#include <curl/curl.h>

#include <espalier/core/error.h>
#include <espalier/core/io.h>
#include <espalier/data/fetch.h>

namespace espalier::data {
namespace {

namespace fs = std::filesystem;

struct Close {
  void operator()(std::FILE* file) const { std::fclose(file); }
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
using File = std::unique_ptr<std::FILE, Close>;
using Curl = std::unique_ptr<CURL, Close>;

// What the callbacks of one transfer share.
struct Transfer {
  const FetchOptions& options;
  const std::string file_name;
  std::FILE* part = nullptr;
  int64_t resumed_at = 0;
  int64_t bytes_left = 0;
  bool too_long = false;
  std::exception_ptr error = {};  // of the caller's progress function; C must not see it
};

size_t on_data(char* bytes, size_t size, size_t count, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  transfer.bytes_left -= static_cast<int64_t>(size * count);
  transfer.too_long = transfer.bytes_left < 0;
  if (transfer.too_long) return 0;
  return std::fwrite(bytes, 1, size * count, transfer.part);
}

int on_progress(void* user, curl_off_t total, curl_off_t received, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (!transfer.options.progress) return 0;
  try {
    const bool go_on = transfer.options.progress(transfer.file_name,
                                                 transfer.resumed_at + received,
                                                 total > 0 ? transfer.resumed_at + total : 0);
    return go_on ? 0 : 1;
  } catch (...) {
    transfer.error = std::current_exception();
    return 1;
  }
}

// A broken connection, in contrast to an answer that another attempt would not change.
bool worth_a_retry(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
      return true;
    default:
      return false;
  }
}

class Download {
 public:
  Download(const std::string& url, const fs::path& path, const FetchOptions& options)
      : url_(url), part_path_(path), options_(options), name_(path.filename().string()) {
    part_path_ += ".part";
    std::error_code error;
    if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
    part_.reset(std::fopen(part_path_.c_str(), "abe"));
    ESPALIER_CHECK(part_ != nullptr,
                   WriteError,
                   "download: can't write ",
                   part_path_.string(),
                   ": ",
                   error ? cat("can't create its folder: ", error.message())
                         : std::generic_category().message(errno));
    ESPALIER_CHECK(flock(fileno(part_.get()), LOCK_EX | LOCK_NB) == 0,
                   IoError,
                   "download: ",
                   part_path_.string(),
                   " is being written by another process");
  }

  ~Download() {
    std::error_code error;
    if (size() == 0) fs::remove(part_path_, error);
  }
  Download(const Download&) = delete;
  Download& operator=(const Download&) = delete;

  const fs::path& part_path() const { return part_path_; }

  int64_t size() const {
    std::error_code error;
    const auto size = fs::file_size(part_path_, error);
    return error ? 0 : static_cast<int64_t>(size);
  }

  void begin_anew() {
    if (ftruncate(fileno(part_.get()), 0) != 0) fail("can't empty the unfinished file");
  }

  // Fetches what is missing, with retries.
  void run() {
    if (size() > options_.max_bytes) begin_anew();  // a part of something else
    for (int attempt = 0;; ++attempt) {
      const CURLcode code = transfer();
      if (code == CURLE_OK) return;
      const bool no_ranges = code == CURLE_RANGE_ERROR || status_ == kRangeNotSatisfiable ||
                             code == CURLE_BAD_DOWNLOAD_RESUME ||
                             code == CURLE_FILE_COULDNT_READ_FILE;
      if (no_ranges && size() > 0 && attempt < options_.retries) {
        begin_anew();
        continue;
      }
      if (milliseconds_left() <= 1) {
        fail(cat("it takes longer than ", options_.max_seconds, " seconds: ", message_));
      }
      if (!worth_a_retry(code) || attempt >= options_.retries) fail(message_);
      std::this_thread::sleep_for(std::chrono::milliseconds(100 << std::min(attempt, 6)));
    }
  }

  void sync() {
    if (std::fflush(part_.get()) != 0 || fsync(fileno(part_.get())) != 0) fail("can't be written");
  }

  // The new name survives a power cut only then; some file systems can't.
  void sync_folder() const {
    const fs::path folder = part_path_.has_parent_path() ? part_path_.parent_path() : fs::path(".");
    const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return;
    ::fsync(descriptor);
    ::close(descriptor);
  }

  [[noreturn]] void fail(const std::string& text) const {
    throw IoError(cat("download: ", url_, ": ", text));
  }

 private:
  static constexpr long kRangeNotSatisfiable = 416;
  using Clock = std::chrono::steady_clock;

  // At least one: for libcurl none means no limit.
  int64_t milliseconds_left() const {
    const auto end = start_ + std::chrono::seconds(options_.max_seconds);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now());
    return std::max<int64_t>(1, left.count());
  }

  CURLcode transfer() {
    static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    const Curl curl(curl_easy_init());
    if (ready != CURLE_OK || !curl) fail("libcurl can't be started");
    Transfer state{options_, name_, part_.get(), size(), options_.max_bytes - size()};
    char text[CURL_ERROR_SIZE] = "";
    CURL* c = curl.get();
    curl_easy_setopt(c, CURLOPT_URL, url_.c_str());
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https,file");
    curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, 5L);
    curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "espalier");
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, text);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, static_cast<long>(options_.connect_seconds));
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, static_cast<long>(options_.min_bytes_per_second));
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.stall_seconds));
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, static_cast<long>(milliseconds_left()));
    curl_easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(state.resumed_at));
    // Zero would mean no limit; then the first byte is one too many.
    curl_easy_setopt(c,
                     CURLOPT_MAXFILESIZE_LARGE,
                     static_cast<curl_off_t>(std::max<int64_t>(state.bytes_left, 0)));
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &state);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, &state);
    const CURLcode code = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status_);
    if (std::fflush(part_.get()) != 0)
      fail("the unfinished file can't be written. Is the disk full?");
    if (state.error) std::rethrow_exception(state.error);
    if (state.too_long || code == CURLE_FILESIZE_EXCEEDED) {
      begin_anew();
      fail(cat("the answer is longer than ", options_.max_bytes, " bytes, so it is not the file"));
    }
    message_ = code == CURLE_ABORTED_BY_CALLBACK ? "stopped"
               : text[0] != '\0'                 ? text
                                                 : curl_easy_strerror(code);
    return code;
  }

  const std::string& url_;
  fs::path part_path_;
  const FetchOptions& options_;
  std::string name_;
  File part_;
  long status_ = 0;
  Clock::time_point start_ = Clock::now();
  std::string message_;
};

// Where a link leads, which stays a link. What is there and is no file is not replaced.
fs::path place_behind_links(const fs::path& path) {
  std::error_code error;  // also set where nothing is, which status tells
  fs::path place = path;
  if (fs::is_symlink(path, error)) place = fs::weakly_canonical(path, error);
  const fs::file_type type = fs::status(place, error).type();
  ESPALIER_CHECK(type != fs::file_type::none,
                 IoError,
                 "download: ",
                 path.string(),
                 " can't be looked at: ",
                 error.message());
  ESPALIER_CHECK(type == fs::file_type::regular || type == fs::file_type::not_found,
                 IoError,
                 "download: ",
                 path.string(),
                 " is there and is no file; it is not replaced");
  return place;
}

}  // namespace

void download(const std::string& url,
              const std::filesystem::path& given,
              const std::string& checksum,
              Digest digest,
              const FetchOptions& options) {
  const fs::path path = place_behind_links(given);
  Download job(url, path, options);
  const auto is_right = [&] {
    return job.size() > 0 && file_checksum(job.part_path(), digest) == checksum;
  };
  // A run that was killed between the last byte and the new name leaves a whole part behind.
  if (checksum.empty() || !is_right()) {
    const bool continued = job.size() > 0;
    job.run();
    // The source may have changed since the first part was fetched.
    if (continued && !checksum.empty() && !is_right()) {
      job.begin_anew();
      job.run();
    }
    if (!checksum.empty() && !is_right()) {
      const std::string got = job.size() > 0 ? file_checksum(job.part_path(), digest) : "nothing";
      std::error_code error;
      fs::remove(job.part_path(), error);
      job.fail(cat("wrong checksum: expects ",
                   checksum,
                   ", got ",
                   got,
                   ". The file was removed; has its publisher changed it?"));
    }
  }
  job.sync();
  std::error_code error;
  fs::rename(job.part_path(), path, error);
  if (error) job.fail(cat("can't be given its name ", path.string(), ": ", error.message()));
  job.sync_folder();
}

}  // namespace espalier::data
