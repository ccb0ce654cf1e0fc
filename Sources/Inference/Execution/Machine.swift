import CKernels
import Foundation

/// What this process computes on.
package enum Machine {
    /// What the system calls the processor.
    package static var processor: String {
        let cpu = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let model = cpu.split(separator: "\n").first { $0.hasPrefix("model name") }?.split(separator: ":").last
        return model.map { $0.trimmingCharacters(in: .whitespaces) } ?? "unknown processor"
    }

    /// Threads that take part in a product.
    package static var threads: Int { Int(coppice_thread_count()) }

    /// The instruction set of the kernels in use: `portable`, `avx2` or `avx512`.
    package static var kernels: String { name(coppice_cpu_level_in_use()) }

    /// The best instruction set that the processor has.
    package static var bestKernels: String { name(coppice_cpu_level_available()) }

    private static func name(_ level: coppice_cpu_level) -> String {
        switch level {
        case COPPICE_CPU_AVX512: "avx512"
        case COPPICE_CPU_AVX2: "avx2"
        default: "portable"
        }
    }
}
