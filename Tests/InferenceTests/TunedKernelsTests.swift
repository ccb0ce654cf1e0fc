import CoppiceFormats
import CoppiceInference
import Foundation
import Testing

/// The file that keeps a machine's table of kernels.
@Suite struct TunedKernelsTests {
    private let path = FileManager.default.temporaryDirectory.path + "/coppice-\(UUID().uuidString)/a/kernels.json"

    @Test func aTableIsFoundAgain() throws {
        let table = KernelTable(fewRows: ["bf16": 6, "int4-group32": 8])
        try TunedKernels.store(table, path: path)
        #expect(TunedKernels.load(path: path) == table)
    }

    @Test func whatCannotBeReadOrComesFromElsewhereDoesNotCount() throws {
        #expect(TunedKernels.load(path: path) == .standard)
        try TunedKernels.store(KernelTable(fewRows: ["bf16": 6]), path: path)
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let broken = [
            "", "{", "[]", text.replacingOccurrences(of: "threads", with: "thread"),
            text.replacingOccurrences(of: "6", with: "-6"), text.replacingOccurrences(of: "6", with: "\"many\""),
        ]
        for content in broken {
            try content.write(toFile: path, atomically: true, encoding: .utf8)
            #expect(TunedKernels.load(path: path) == .standard, "\(content)")
        }
    }
}
