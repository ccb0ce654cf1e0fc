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
        let available = Machine.bestKernels
        let used = Machine.kernels
        let dnnl = dnnl_version().map { "\($0.pointee.major).\($0.pointee.minor).\($0.pointee.patch)" } ?? "unknown"
        let blas = String(cString: openblas_get_config())
        let bandwidth = ReadBandwidth.measure() / 1e9
        let peaks = ArithmeticPeak.allCases.compactMap { kind in kind.measure().map { (kind.rawValue, $0 / 1e9) } }
        if common.json {
            try Output.json(
                .object([
                    "cpu_level": .string(available), "kernels": .string(used),
                    "vnni": .bool(coppice_cpu_has_vnni() == 1), "bf16": .bool(coppice_cpu_has_bf16() == 1),
                    "threads": .integer(Int(coppice_thread_count())), "onednn": .string(dnnl),
                    "openblas": .string(blas), "read_bandwidth_gb_s": .number(bandwidth),
                    "peak_gop_s": .object(
                        OrderedDictionary(uniqueKeysWithValues: peaks.map { ($0.0, JSON.number($0.1)) })),
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
            let rates = peaks.map { "\($0.0) \(Output.number($0.1, digits: 0)) GOP/s" }
            try Output.line("peak arithmetic  \(rates.joined(separator: ", "))")
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
}
