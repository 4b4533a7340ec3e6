#include "server/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

namespace capstan {

Result<> open_log(const std::string& path) {
  try {
    spdlog::drop_all();
    spdlog::set_default_logger(path.empty() ? spdlog::stdout_logger_mt("capstan")
                                            : spdlog::basic_logger_mt("capstan", path));
  } catch (const spdlog::spdlog_ex& error) {
    return Error{ErrorCode::kIo, "cannot open the log file " + path + ": " + error.what()};
  }
  spdlog::set_pattern("%Y-%m-%d %H:%M:%S.%e %P %l: %v");
  spdlog::flush_on(spdlog::level::debug);
  return {};
}

// notice is what Redis calls the level of ordinary events.
void set_log_level(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
    case LogLevel::kVerbose:
      return spdlog::set_level(spdlog::level::debug);
    case LogLevel::kNotice:
      return spdlog::set_level(spdlog::level::info);
    case LogLevel::kWarning:
      return spdlog::set_level(spdlog::level::warn);
  }
}

void log_info(std::string_view message) { spdlog::info("{}", message); }
void log_warning(std::string_view message) { spdlog::warn("{}", message); }

}  // namespace capstan
