import CoppiceModels
import Synchronization
import Testing

@Suite struct ProgressTests {
    @Test func rateFollowsTheWindow() throws {
        var estimate = ProgressEstimate(total: 1000, completed: 100, at: 0, window: 10)
        #expect(estimate.rate == nil && estimate.secondsLeft == nil)
        // Ten a second for 20 seconds, then one a second.
        for second in 1...20 { estimate.record(100 + 10 * second, at: Double(second)) }
        #expect(abs(try #require(estimate.rate) - 10) < 0.01)
        #expect(abs(try #require(estimate.secondsLeft) - 70) < 0.1)
        for second in 21...40 { estimate.record(300 + (second - 20), at: Double(second)) }
        #expect(abs(try #require(estimate.rate) - 1) < 0.01)
        #expect(estimate.completed == 320)
    }

    @Test func clocksAndRates() {
        #expect(ProgressEstimate.clock(0) == "0:00" && ProgressEstimate.clock(187.4) == "3:07")
        #expect(ProgressEstimate.clock(7387) == "2:03:07" && ProgressEstimate.clock(.infinity) == "99:59:59")
        #expect(ProgressEstimate.rateText(0.523) == "0.52" && ProgressEstimate.rateText(8.31) == "8.31")
        #expect(ProgressEstimate.rateText(12.34) == "12.3" && ProgressEstimate.rateText(12_400.4) == "12400")
        #expect(ProgressEstimate.rateText(.nan) == "0")
    }

    private final class Recorder: Sendable {
        let text = Mutex("")
        let time = Mutex(0.0)
        func progress(isTerminal: Bool) -> ConsoleProgress {
            ConsoleProgress(
                isTerminal: isTerminal, plainInterval: 10, now: { self.time.withLock { $0 } },
                write: { piece in self.text.withLock { $0 += piece } })
        }
        func run(isTerminal: Bool) -> String {
            let progress = progress(isTerminal: isTerminal)
            progress.begin("train", total: 100, completed: 0, unit: "steps")
            for step in 1...100 {
                time.withLock { $0 = Double(step) / 2 }
                progress.advance(to: step, note: "loss 2.5")
                if step == 50 { progress.report("validation loss 2.4") }
            }
            progress.end("done")
            return text.withLock { $0 }
        }
    }

    @Test func plainLinesComeNowAndThen() {
        let lines = Recorder().run(isTerminal: false).split(separator: "\n")
        #expect(lines.count == 7)  // four intervals between 0 and 50 s and the last moment, a report, the end
        #expect(lines[0] == "train  20/100 steps  2.0 steps/s  0:40 left  loss 2.5")
        #expect(lines.contains("validation loss 2.4") && lines.last == "done")
        #expect(lines.allSatisfy { !$0.contains("\r") && !$0.contains("\u{1B}") })
    }

    @Test func longWorkIsSeenBeforeItsFirstPartIsDone() {
        func lines(isTerminal: Bool) -> String {
            let recorder = Recorder()
            let progress = recorder.progress(isTerminal: isTerminal)
            progress.begin("dense networks", total: 3, completed: 0, unit: "networks")
            for second in 1...130 {
                recorder.time.withLock { $0 = Double(second) }
                if isTerminal, second > 2 { continue }
                progress.tick()
            }
            progress.end("")
            progress.tick()
            return recorder.text.withLock { $0 }
        }
        #expect(
            lines(isTerminal: false)
                == "dense networks  0/3 networks  1:00 so far\ndense networks  0/3 networks  2:00 so far\n")
        #expect(lines(isTerminal: true).contains("  0%  0/3 networks  0:02 so far"))
    }

    @Test func aTerminalHasABarThatLeavesNothingBehind() {
        let text = Recorder().run(isTerminal: true)
        #expect(text.contains("train  [====>               ]  20%  20/100 steps  2.0 steps/s  0:40 left  loss 2.5"))
        #expect(text.hasSuffix("\r\u{1B}[2Kdone\n"))
        #expect(text.contains("\r\u{1B}[2Kvalidation loss 2.4\n"))
    }
}
