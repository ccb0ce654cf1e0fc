import CKernels
import CoppiceInference
import CoppiceTensors
import Foundation
import Testing

@Suite("Pinned workers", .serialized)
struct WorkerPinningTests {
    /// Processors that this process may run on.
    private var processors: [Int] {
        let text = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed_list:") } ?? ""
        return line.split(separator: ":").last?.split(separator: ",").flatMap { part -> [Int] in
            let ends = part.trimmingCharacters(in: .whitespaces).split(separator: "-").compactMap { Int($0) }
            return ends.isEmpty ? [] : Array(ends[0]...ends[ends.count - 1])
        } ?? []
    }

    private func logits() throws -> [UInt32] {
        let model = try LanguageModel.random(context: 64)
        let cache = model.makeCache(capacity: 64)
        let sequence = SequenceID(0)
        try cache.add(sequence, reserving: 64)
        let tokens = (0..<40).map { $0 * 7 % 96 }
        let result = try model.forward(
            [Row(sequence: sequence, start: 0, count: tokens.count)], tokens: tokens, cache: cache, logits: .all)
        return (0..<tokens.count).flatMap { result[$0].map(\.bitPattern) }
    }

    /// Other suites set the number of threads at the same time: whether `condition` holds once undisturbed.
    private func holds(_ condition: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<200 {
            if try condition() { return true }
            usleep(2000)
        }
        return false
    }

    /// Sets the number of threads and has them begin.
    private func setThreads(_ count: Int) {
        coppice_set_thread_count(Int32(count))
        coppice_parallel_for(64, nil) { _, _ in }
    }

    @Test("Each worker is on one processor of its own, until they are let go; results are the same")
    func affinity() throws {
        let usual = coppice_thread_count(), processors = processors
        guard (2..<256).contains(processors.count) else { return }
        defer {
            coppice_set_thread_count(usual)
            try? WorkerPinning.unpin()
        }
        let count = min(processors.count, 8), free = try logits()
        let isPinned = try holds {
            setThreads(count)
            try WorkerPinning.pin()
            return (1..<count).allSatisfy { Int(coppice_processor_of_worker(Int32($0))) == processors[$0] }
        }
        #expect(isPinned)
        #expect(try logits() == free)

        // Workers that begin later are pinned, too, around the processors where they are more.
        let laterArePinned = holds {
            setThreads(processors.count + 1)
            let last = Int32(processors.count)
            return Int(coppice_processor_of_worker(last)) == processors[0]
                && coppice_processor_of_worker(last + 1) == -1
        }
        #expect(laterArePinned)
        #expect(coppice_processor_of_worker(0) == -1)

        try WorkerPinning.unpin()
        setThreads(2)
        #expect(coppice_processor_of_worker(1) == -1)
        #expect(try logits() == free)
    }

    @Test("More threads than processors cannot be pinned")
    func tooMany() throws {
        let usual = coppice_thread_count(), processors = processors
        defer {
            coppice_set_thread_count(usual)
            try? WorkerPinning.unpin()
        }
        guard processors.count < 256 else { return }
        let isRefused = holds {
            coppice_set_thread_count(Int32(processors.count) + 1)
            do {
                try WorkerPinning.pin()
                try? WorkerPinning.unpin()
                return false
            } catch {
                guard let error = error as? CoppiceError else { return false }
                return error.kind == .usage && error.field == "pin"
            }
        }
        #expect(isRefused)
        #expect(coppice_processor_of_worker(1) == -1)
    }
}
