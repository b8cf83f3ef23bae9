import Watchdog

extension FuzzTarget {
  /// Messages between a rank and the lead.
  static var watchFrame: FuzzTarget {
    FuzzTarget("watch-frame") { _ in
      let token = WatchToken.random()
      let frames = [WatchFrame.Kind.hello, .welcome, .beat, .report, .leave, .abort, .end].map {
        var frame = WatchFrame($0, token, rank: 1)
        (frame.text, frame.number) = ("host", 17)
        frame.state.progress.call = "MPI_Allreduce"
        return frame.bytes
      }
      return Prepared(corpus: frames) { input in
        guard let frame = WatchFrame(input) else { return }
        try expect(WatchFrame(frame.bytes) != nil, "a frame that is none when it is sent on")
        var table = RankTable(size: 3, limit: 2)
        table.hear(frame, at: 1)
        if frame.rank >= 0, frame.rank < 3 { table.lose(frame.rank, at: 1) }
        for time in [1.5, 100] {
          if let verdict = table.verdict(at: time) { _ = table.sentence(verdict) }
          _ = table.lines(at: time)
        }
      }
    }
  }

  /// What ranks are told of the lead.
  static var watchInvitation: FuzzTarget {
    FuzzTarget("watch-invitation") { _ in
      let text = "40001 123456789abcdef 123 127.0.0.1 ::1"
      return Prepared(corpus: [Array(text.utf8)]) { input in
        guard let invitation = WatchInvitation(input.text) else { return }
        try expect(WatchInvitation(invitation.text) != nil, invitation.text)
      }
    }
  }
}
