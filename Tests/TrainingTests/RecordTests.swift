import CoppiceModels
import CoppiceTensors
import CoppiceTraining
import Foundation
import Synchronization
import Testing

private func progress(_ step: Int) -> TrainingEvent {
    .progress(
        TrainingProgress(
            step: step, tokens: step * 10, loss: 2.5, gradientNorm: 0.5, learningRate: 1e-3, tokensPerSecond: 99))
}

@Suite struct TrainingLogTests {
    @Test func eventsBecomeLines() throws {
        let folder = try TemporaryFolder()
        let log = try TrainingLog(path: folder.path + "/log.jsonl", resumingAt: 0)
        try log.observe(progress(4))
        try log.observe(.validation(step: 5, tokens: 50, loss: 2, isBest: true, seconds: 1))
        try log.observe(.checkpoint(step: 5))
        try log.observe(.end(.stoppedEarly, step: 5, tokens: 50))
        let lines = TrainingLog.read(folder.path + "/log.jsonl")
        #expect(lines.map(\.event) == ["progress", "validation", "checkpoint", "end"])
        #expect(lines[0].loss == 2.5 && lines[0].learningRate == 1e-3 && lines[0].gradientNorm == 0.5)
        #expect(lines[0].tokensPerSecond == 99 && lines[0].tokens == 40 && lines[0].step == 4)
        #expect(abs(try #require(lines[1].perplexity) - exp(2)) < 1e-12 && lines[1].isBest == true)
        #expect(lines[3].outcome == .stoppedEarly)
        // The keys are part of the contract.
        let text = try folder.text("log.jsonl").split(separator: "\n")
        let first = try JSON(text: String(text[0]), source: "line")
        #expect(
            first["learning_rate"]?.doubleValue == 1e-3 && first["tokens_per_second"] != nil && first["time"] != nil)
        #expect(first["outcome"] == nil)
        #expect(try JSON(text: String(text[3]), source: "line")["outcome"]?.stringValue == "stopped-early")
    }

    @Test func resumingRemovesWhatTheCheckpointDoesNotKnow() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/log.jsonl"
        let log = try TrainingLog(path: path, resumingAt: 0)
        for step in 1...9 { try log.observe(progress(step)) }
        try log.observe(.end(.interrupted, step: 9, tokens: 90))
        // A line that was being written when the process died.
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data(#"{"event":"prog"#.utf8))
        try handle.close()
        let resumed = try TrainingLog(path: path, resumingAt: 6)
        try resumed.observe(progress(7))
        #expect(TrainingLog.read(path).map(\.step) == [1, 2, 3, 4, 5, 6, 7])
        #expect(try folder.text("log.jsonl").hasSuffix("}\n"))
        _ = try TrainingLog(path: path, resumingAt: 0)
        #expect(TrainingLog.read(path).isEmpty)
    }

    @Test func unwritableLogIsNamed() {
        #expect { try TrainingLog(path: "/nonexistent/log.jsonl", resumingAt: 0) } throws: {
            ($0 as? CoppiceError)?.kind == .cannotCreate && "\($0)".contains("/nonexistent/log.jsonl")
        }
    }
}

@Suite struct RunHistoryTests {
    private func run(_ id: String, at time: Double = 0) -> RunHistory.Run {
        RunHistory.Run(
            id: id, name: "tales", output: "out", recipe: TrainingRecipe(text: "seed: 1"), parameters: 12,
            totalSteps: 100,
            startedAt: Date(timeIntervalSince1970: time))
    }

    @Test func eventsAreRecorded() throws {
        let folder = try TemporaryFolder()
        let history = try RunHistory(path: folder.path + "/runs.sqlite")
        try history.begin(run("a"))
        let recorder = RunRecorder(history: history, run: "a")
        recorder.observe(progress(4))
        recorder.observe(.validation(step: 5, tokens: 50, loss: 2, isBest: true, seconds: 1))
        recorder.observe(.validation(step: 10, tokens: 100, loss: 2.2, isBest: false, seconds: 1))
        var saved = try #require(try history.run("a"))
        #expect(saved.status == "running" && saved.step == 10 && saved.tokens == 100)
        #expect(saved.bestValidationLoss == 2 && saved.bestStep == 5)
        #expect(saved.recipe == "seed: 1" && saved.recipeHash.count == 64 && saved.parameters == 12)
        #expect(try history.metrics("a", name: "validation_loss").map(\.value) == [2, 2.2])
        #expect(try history.metrics("a", name: "loss").map(\.step) == [4])
        #expect(try history.metrics("a", name: "tokens_per_second").map(\.value) == [99])
        recorder.observe(.end(.completed, step: 100, tokens: 1000))
        saved = try #require(try history.run("a"))
        #expect(saved.status == "completed" && saved.step == 100)
        recorder.fail()
        #expect(try history.run("a")?.status == "failed")
    }

    @Test func resumingRemovesLaterMetrics() throws {
        let folder = try TemporaryFolder()
        let history = try RunHistory(path: folder.path + "/runs.sqlite")
        try history.begin(run("a"))
        let recorder = RunRecorder(history: history, run: "a")
        for step in [2, 4, 6, 8] { recorder.observe(progress(step)) }
        try history.begin(run("a"), resumingAt: 5)
        #expect(try history.metrics("a", name: "loss").map(\.step) == [2, 4])
        #expect(try history.run("a")?.step == 5)
        // A step that is recorded again replaces what was there.
        recorder.observe(progress(4))
        #expect(try history.metrics("a", name: "loss").map(\.step) == [2, 4])
    }

    @Test func runsAreListedLatestFirstAndSurviveReopening() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/runs.sqlite"
        do {
            let history = try RunHistory(path: path)
            try history.begin(run("old", at: 1))
            try history.begin(run("new", at: 2))
        }
        // Two at once, as two processes would.
        let (history, other) = (try RunHistory(path: path), try RunHistory(path: path))
        try other.begin(run("newest", at: 3))
        #expect(try history.runs().map(\.id) == ["newest", "new", "old"])
    }

    @Test func fileThatIsNoHistoryIsRefused() throws {
        let folder = try TemporaryFolder()
        try folder.write("runs.sqlite", String(repeating: "not a database. ", count: 100))
        #expect { try RunHistory(path: folder.path + "/runs.sqlite") } throws: {
            ($0 as? CoppiceError)?.kind == .badData
        }
        #expect { try RunHistory(path: "/nonexistent/runs.sqlite") } throws: {
            ($0 as? CoppiceError)?.kind == .cannotCreate
        }
    }

    @Test func aHistoryThatFailsDoesNotEndTheRun() throws {
        final class Warnings: ProgressReporter {
            let lines = Mutex<[String]>([])
            func begin(_ title: String, total: Int, completed: Int, unit: String) {}
            func advance(to completed: Int, note: String) {}
            func report(_ line: String) { lines.withLock { $0.append(line) } }
            func end(_ summary: String) {}
        }
        let folder = try TemporaryFolder()
        let history = try RunHistory(path: folder.path + "/runs.sqlite")
        try history.begin(run("a"))
        let warnings = Warnings()
        let recorder = RunRecorder(history: history, run: "a", progress: warnings)
        // The file is overwritten by something else while the run is under way.
        try folder.write("runs.sqlite", String(repeating: "not a database. ", count: 1000))
        recorder.observe(progress(2))
        #expect(warnings.lines.withLock { $0 }.first?.hasPrefix("warning: ") == true)
    }
}
