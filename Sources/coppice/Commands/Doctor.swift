import ArgumentParser
import CKernels
import CSystemBLAS
import CSystemDNNL
import CoppiceFormats
import CoppiceInference
import CoppiceModels
import CoppiceTensors
import OrderedCollections

/// `coppice doctor`: what the program finds on this machine.
struct Doctor: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show what the program finds on this machine: processor, kernels, libraries, memory bandwidth.")

    @Flag(help: "Measure which kernels are fastest here, and keep the answer for all later runs.")
    var tune = false
    @OptionGroup var common: CommonOptions

    func run() throws {
        common.apply()
        if tune { try measureKernels() }
        let kernels = TunedKernels.load()
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
                    "few_rows": .object(
                        OrderedDictionary(
                            uniqueKeysWithValues: kernels.fewRows.sorted { $0.key < $1.key }.map {
                                ($0.key, JSON.integer($0.value))
                            })),
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
            if kernels == .standard {
                try Output.line("tuned kernels    none (coppice doctor --tune measures them)")
            }
            for (format, rows) in kernels.fewRows.sorted(by: { $0.key < $1.key }) {
                try Output.line("tuned kernels    \(format): read row by row for up to \(rows) rows")
            }
        }
    }

    private func measureKernels() throws {
        let progress = common.progress
        var hasBegun = false
        let weights = try FormatBenchmark.examples(rows: 1024, columns: 4096)
        let table = KernelTable.measure(weights) { done, total in
            if !hasBegun { progress.begin("measure kernels", total: total, unit: "sizes") }
            hasBegun = true
            progress.advance(to: done, note: "")
        }
        progress.end("")
        try TunedKernels.store(table)
    }

    private func name(_ level: coppice_cpu_level) -> String {
        switch level {
        case COPPICE_CPU_AVX512: "avx512"
        case COPPICE_CPU_AVX2: "avx2"
        default: "portable"
        }
    }
}
