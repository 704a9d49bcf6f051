// The native runner: reads DIRECTORY/job.txt, runs it, writes DIRECTORY/result.json whole.
//
//   runner DIRECTORY
//
// The protocol is that of docs/record.md and latency.py; the job is what native/__init__.py writes. It ends when its
// standard input does: with the computer that started it. What goes wrong is a result too.
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>
#include <thread>

#include "runtime.h"

namespace {

constexpr int kAbandoned = 75;  // the exit status of one whose parent went away
constexpr int kBlock = 10, kMost = 100;  // queries of warm-up: in a block, and in all at one length
constexpr double kTolerance = 0.02;      // between the medians of two consecutive blocks

int64_t Now(clockid_t clock = CLOCK_MONOTONIC) {
  timespec time{};
  clock_gettime(clock, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

struct Job {
  std::string artifact;
  int threads = 1;
  bool float16 = false;  // computed with, where the file has float32
  std::vector<int> cpus;
  int64_t queries = 0, least_ns = 0, most_ns = 0;  // no query: answers are asked. most: -1 for no limit
  std::map<int, std::string> entry_points;
  std::vector<std::string> inputs, outputs;
  std::vector<Inputs> rows;
  std::vector<int> lengths;  // of each row
};

Job Read(const std::string& path) {
  std::ifstream file(path);
  file.exceptions(std::ios::failbit | std::ios::badbit);
  Job job;
  std::string word;
  size_t count = 0;
  auto names = [&](std::vector<std::string>* into) {
    file >> word >> count;
    into->resize(count);
    for (auto& name : *into) file >> name;
  };
  file >> word >> job.artifact >> word;
  job.float16 = word == "float16";
  if (job.float16) file >> word;
  file >> job.threads >> word >> count;
  job.cpus.resize(count);
  for (int& cpu : job.cpus) file >> cpu;
  file >> word >> job.queries >> job.least_ns >> job.most_ns >> word >> count;
  for (size_t index = 0; index < count; index++) {
    int length = 0;
    file >> length;
    file >> job.entry_points[length];
  }
  names(&job.inputs);
  names(&job.outputs);
  file >> word >> count;
  for (size_t index = 0; index < count; index++) {
    int length = 0;
    file >> length;
    Inputs row(job.inputs.size(), std::vector<int32_t>(length));
    for (auto& values : row) {
      for (int32_t& value : values) file >> value;
    }
    job.lengths.push_back(length);
    job.rows.push_back(std::move(row));
  }
  return job;
}

// A number of kB in /proc/self/status, in bytes; or null, as JSON has it.
std::string Resident(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(field + ":", 0) == 0) {
      return std::to_string(1024 * std::atoll(line.c_str() + field.size() + 1));
    }
  }
  return "null";
}

// Nanoseconds since the kernel started this process, to a clock tick (10 ms); or null.
std::string SinceStart() {
  std::ifstream stat("/proc/self/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), {});
  const size_t name_end = text.rfind(')');  // the name before it may hold spaces
  if (name_end == std::string::npos) return "null";
  std::istringstream fields(text.substr(name_end + 1));
  std::string field;
  for (int index = 3; index <= 22; index++) fields >> field;  // proc(5): the 22nd is starttime
  const int64_t start = std::atoll(field.c_str()) * (1'000'000'000LL / sysconf(_SC_CLK_TCK));
  const int64_t spent = Now(CLOCK_BOOTTIME) - start;
  return start > 0 && spent > 0 ? std::to_string(spent) : "null";
}

void BindTo(const std::vector<int>& cpus) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : cpus) CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) throw std::runtime_error("these CPUs may not be used");
}

std::string AllowedCpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  std::string found;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &set)) found += (found.empty() ? "" : ",") + std::to_string(cpu);
  }
  return found;
}

std::string Quoted(const std::string& text) {
  std::string found = "\"";
  for (unsigned char letter : text) {
    if (letter == '"' || letter == '\\') found += '\\';
    found += letter < 0x20 || letter > 0x7e ? '?' : static_cast<char>(letter);
  }
  return found + "\"";
}

struct WarmUp {
  int length, queries;
  bool steady;
};

// latency.py has the same: tens of queries until the medians of two consecutive ones agree.
WarmUp WarmUpAt(int length, Query* query, int64_t queries, int64_t end) {
  std::vector<int64_t> medians, block;
  int done = 0;
  while (done < std::min<int64_t>(kMost, queries)) {
    const int64_t start = Now();
    query->Run();
    block.push_back(Now() - start);
    done++;
    if (Now() >= end) break;
    if (block.size() == kBlock) {
      std::sort(block.begin(), block.end());
      medians.push_back(block[kBlock / 2]);
      block.clear();
      const size_t count = medians.size();
      if (count > 1 && std::llabs(medians[count - 1] - medians[count - 2]) <= kTolerance * medians[count - 2]) {
        return {length, done, true};
      }
    }
  }
  return {length, done, false};
}

template <typename Values>
std::string Joined(const Values& values) {
  std::string found;
  for (const auto& value : values) found += (found.empty() ? "" : ",") + std::to_string(value);
  return found;
}

class Session {
 public:
  Session(const std::string& directory, Job job) : job_(std::move(job)) {
    process_ns_ = SinceStart();
    BindTo(job_.cpus);
    baseline_ = Resident("VmRSS");
    const int64_t start = Now();
    model_ = Open(directory + "/" + job_.artifact, job_.threads, job_.float16);
    load_ns_ = Now() - start;
    for (size_t row = 0; row < job_.rows.size(); row++) {
      queries_.push_back(
          model_->Prepare(job_.entry_points.at(job_.lengths[row]), job_.rows[row], job_.inputs, job_.outputs));
    }
  }

  // The fields of record.Run that are known here.
  std::string Measure() {
    std::map<int, size_t> first_rows;
    for (size_t row = 0; row < job_.lengths.size(); row++) first_rows.emplace(job_.lengths[row], row);
    std::string first;
    for (const auto& [length, row] : first_rows) {
      const int64_t start = Now();
      queries_[row]->Run();
      first += (first.empty() ? "\"" : ",\"") + std::to_string(length) + "\":" + std::to_string(Now() - start);
    }
    const std::string peak = Resident("VmHWM");
    const std::string warm = WarmedUp(first_rows);
    return "{\"cold_start\":{\"process_ns\":" + process_ns_ + ",\"load_ns\":" + std::to_string(load_ns_) +
           ",\"first_ns\":{" + first + "}" + Unknown("process_ns", process_ns_) +
           "},\"memory\":{\"baseline_bytes\":" + baseline_ + ",\"peak_bytes\":" + peak +
           Unknown("baseline_bytes", baseline_) + "},\"allowed_cpus\":[" + AllowedCpus() + "],\"warm_up\":[" +
           warm + "],\"samples\":" + Samples() + "}";
  }

  // Every output of every row to a file, float32, little-endian; gives their shapes.
  std::string Answer(const std::string& path) {
    std::ofstream file(path, std::ios::binary);
    std::string shapes;
    for (auto& query : queries_) {
      query->Run();
      std::string of_row;
      for (const Output& output : query->Outputs()) {
        of_row += (of_row.empty() ? "[" : ",[") + Joined(output.shape) + "]";
        file.write(reinterpret_cast<const char*>(output.values.data()), output.values.size() * sizeof(float));
      }
      shapes += (shapes.empty() ? "[" : ",[") + of_row + "]";
    }
    file.close();
    if (!file) throw std::runtime_error("no room for the answers");
    return "{\"shapes\":[" + shapes + "]}";
  }

 private:
  static std::string Unknown(const std::string& name, const std::string& value) {
    if (value != "null") return "";
    return ",\"unknown\":{\"" + name + "\":\"/proc/self does not say\"}";
  }

  std::string WarmedUp(const std::map<int, size_t>& first_rows) {
    const int64_t never = std::numeric_limits<int64_t>::max();
    const int64_t end = job_.most_ns < 0 ? never : Now() + job_.most_ns;
    std::string found;
    for (const auto& [length, row] : first_rows) {
      const WarmUp warm = WarmUpAt(length, queries_[row].get(), job_.queries, end);
      found += std::string(found.empty() ? "" : ",") + "{\"length\":" + std::to_string(warm.length) +
               ",\"queries\":" + std::to_string(warm.queries) +
               ",\"steady\":" + (warm.steady ? "true" : "false") + "}";
    }
    return found;
  }

  std::string Samples() {
    std::vector<int64_t> starts, latencies, rows, lengths;
    const int64_t most = job_.most_ns < 0 ? std::numeric_limits<int64_t>::max() : job_.most_ns;
    const int64_t begin = Now();
    int64_t end = begin;
    auto done = [&] { return static_cast<int64_t>(starts.size()) >= job_.queries && end - begin >= job_.least_ns; };
    while (!done() && end - begin < most) {
      const size_t row = starts.size() % queries_.size();
      const int64_t start = Now();
      queries_[row]->Run();
      end = Now();
      starts.push_back(start - begin);
      latencies.push_back(end - start);
    }
    for (size_t index = 0; index < starts.size(); index++) {
      rows.push_back(index % queries_.size());
      lengths.push_back(job_.lengths[rows.back()]);
    }
    return "{\"row\":[" + Joined(rows) + "],\"length\":[" + Joined(lengths) + "],\"start_ns\":[" +
           Joined(starts) + "],\"latency_ns\":[" + Joined(latencies) + "]}";
  }

  Job job_;
  std::string process_ns_, baseline_;
  int64_t load_ns_ = 0;
  std::unique_ptr<Model> model_;
  std::vector<std::unique_ptr<Query>> queries_;
};

void EndWithParent() {
  char nothing = 0;
  while (read(STDIN_FILENO, &nothing, 1) > 0) {
  }
  _exit(kAbandoned);
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) {
    std::fprintf(stderr, "runner DIRECTORY\n");
    return 2;
  }
  std::thread(EndWithParent).detach();
  const std::string directory = words[1], result = directory + "/result.json";
  std::string text;
  try {
    Job job = Read(directory + "/job.txt");
    const bool answers = job.queries == 0;
    Session session(directory, std::move(job));
    text = answers ? session.Answer(directory + "/outputs.bin") : session.Measure();
  } catch (const std::exception& error) {
    text = "{\"error\":" + Quoted(error.what()) + "}";
  }
  std::ofstream file(result + ".partial");
  file << text;
  file.close();
  if (!file || std::rename((result + ".partial").c_str(), result.c_str()) != 0) {
    std::fprintf(stderr, "no room for the result\n");
    return 1;
  }
  std::fflush(nullptr);
  _exit(0);  // the runtimes' threads may still be there
}
