import ArgumentParser
import CKernels
import CSystemBLAS
import CSystemDNNL
import CoppiceInference
import CoppiceModels
import CoppiceTensors

/// `coppice doctor`: what the program finds on this machine.
struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what the program finds on this machine: processor, kernels, libraries, memory bandwidth.")

    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        let available = name(coppice_cpu_level_available())
        let used = name(coppice_cpu_level_in_use())
        let dnnl = dnnl_version().map { "\($0.pointee.major).\($0.pointee.minor).\($0.pointee.patch)" } ?? "unknown"
        let blas = String(cString: openblas_get_config())
        let bandwidth = ReadBandwidth.measure() / 1e9
        if common.json {
            try Output.json(
                .object([
                    "cpu_level": .string(available), "kernels": .string(used),
                    "vnni": .bool(coppice_cpu_has_vnni() == 1), "bf16": .bool(coppice_cpu_has_bf16() == 1),
                    "threads": .integer(Int(coppice_thread_count())), "onednn": .string(dnnl),
                    "openblas": .string(blas), "read_bandwidth_gb_s": .number(bandwidth),
                ]))
        } else {
            try Output.line(
                "processor        \(available), VNNI \(coppice_cpu_has_vnni() == 1 ? "yes" : "no"), BF16 "
                    + (coppice_cpu_has_bf16() == 1 ? "yes" : "no"))
            try Output.line("kernels in use   \(used) (COPPICE_CPU=portable|avx2|avx512 chooses lower ones)")
            try Output.line("threads          \(coppice_thread_count())")
            try Output.line("oneDNN           \(dnnl)")
            try Output.line("OpenBLAS         \(blas)")
            try Output.line("read bandwidth   \(Output.number(bandwidth, digits: 1)) GB/s")
        }
    }

    private func name(_ level: coppice_cpu_level) -> String {
        switch level {
        case COPPICE_CPU_AVX512: "avx512"
        case COPPICE_CPU_AVX2: "avx2"
        default: "portable"
        }
    }
}
